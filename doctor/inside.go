package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/token"
)

// Settings reports what is wrong with a configuration, one finding each.
func Settings(r *Report, wrong []string) {
	for _, problem := range wrong {
		r.problem("configuration", "", problem, "Correct it, and look again with 'splitpin serve --check'.")
	}
	if len(wrong) == 0 {
		r.ok("configuration", "", "the server would start with this configuration")
	}
}

// Folder looks at the data folder: nobody but its owner may read what is in it.
func Folder(r *Report, folder string) {
	info, err := os.Stat(folder)
	if err != nil {
		r.unknown("data_folder", "", "the data folder cannot be looked at: "+reason(err), "Run the command as the user of the server, and check data in the configuration.")
		return
	}
	owner := ownerOf(info)
	var wrong []string
	look := func(name string, info fs.FileInfo) {
		if info.Mode().Perm()&0o077 != 0 {
			wrong = append(wrong, fmt.Sprintf("%s can be read or changed by others (mode %04o)", name, info.Mode().Perm()))
		}
		if ownerOf(info) != owner {
			wrong = append(wrong, name+" belongs to another user than the folder")
		}
	}
	look(folder, info)
	entries, err := os.ReadDir(folder)
	if err != nil {
		r.unknown("data_folder", "", "the data folder cannot be read: "+reason(err), "Run the command as the user of the server.")
		return
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			look(entry.Name(), info)
		}
	}
	if len(wrong) > 0 {
		r.problem("data_folder", "", strings.Join(wrong, "; "), "Run: chmod -R go= "+folder+" and chown -R the folder to the user of the server.")
		return
	}
	r.ok("data_folder", "", "only its owner can read "+folder)
}

// reason is the text of a file error without the path in front of it.
func reason(err error) string {
	if wrapped := (*fs.PathError)(nil); errors.As(err, &wrapped) {
		return wrapped.Err.Error()
	}
	return err.Error()
}

// MasterKey looks at where the master key comes from. file is empty where the
// environment holds the key itself; previous tells that a second one is accepted.
// Whether the file is readable by its owner alone, and outside the data folder, is
// part of the configuration: the server refuses it.
func MasterKey(r *Report, file string, previous bool) {
	const code = "master_key"
	if previous {
		r.warning(code, "", "a previous master key is still accepted", "Take previous_master_key_file out of the configuration once every server runs with the new key.")
		return
	}
	if file == "" {
		r.ok(code, "", "the environment holds the master key")
		return
	}
	info, err := os.Stat(filepath.Dir(file))
	switch {
	case err != nil:
		r.unknown(code, "", "the folder of the master key cannot be looked at: "+reason(err), "Run the command as the user of the server.")
	case info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0:
		r.problem(code, "", fmt.Sprintf("others may put another file in its place (folder mode %04o)", info.Mode().Perm()), "Run: chmod go-w "+filepath.Dir(file))
	default:
		r.ok(code, "", "it lies outside the data folder, for its owner only; keep a copy elsewhere")
	}
}

// Projects looks at the settings of every project. anyOrigin is
// insecure_any_origin.
func Projects(r *Report, projects []*splitpin.Project, anyOrigin bool) {
	if len(projects) == 0 {
		r.problem("projects", "", "there is no project, so nobody can sign in", "Make one with 'splitpin project create'.")
		return
	}
	r.ok("projects", "", fmt.Sprintf("%d in this installation", len(projects)))
	for _, p := range projects {
		set := "splitpin project set " + p.ID
		var insecure []string
		for _, entry := range p.Settings.Origins {
			if origin, ok := splitpin.ParseOrigin(entry); ok && strings.HasPrefix(origin, "http://") && !loopback(origin) {
				insecure = append(insecure, origin)
			}
		}
		switch {
		case p.ListsAny() && !anyOrigin:
			r.problem("origins", p.ID, "it lists *, so 'splitpin serve' refuses to start", "Name its sites with '"+set+" --origin https://…'.")
		case p.ListsAny():
			r.warning("origins", p.ID, "every site may start a sign-in (insecure_any_origin)", "Name its sites with '"+set+" --origin https://…', and take insecure_any_origin out.")
		case len(p.Settings.Origins) == 0:
			r.problem("origins", p.ID, "it lists no origin, so nobody can sign in", "Name its site with '"+set+" --add-origin https://…'.")
		case len(insecure) > 0:
			r.warning("origins", p.ID, strings.Join(insecure, " and ")+" is without TLS: whoever sits on the way reads codes and tokens", "Put https:// in its place with '"+set+" --origin …'.")
		default:
			r.ok("origins", p.ID, "listed: "+strings.Join(p.Settings.Origins, ", "))
		}
		odds := project.GuessProbability(p.Settings)
		if odds > signin.MaxGuessProbability {
			r.problem("guessing", p.ID, "the chance to guess a code is "+project.Odds(odds)+" per address and day, more than "+project.Odds(signin.MaxGuessProbability),
				"Ask for longer codes with '"+set+" --code-length'.")
		} else {
			r.ok("guessing", p.ID, "the chance to guess a code is "+project.Odds(odds)+" per address and day")
		}
		ways(r, p, set)
		switch {
		case p.Settings.Lookup == splitpin.LookupMinimal:
			r.warning("lookup", p.ID, "strangers may ask whether an address has an account, as old Cotter clients do", "Once no client needs it: '"+set+" --lookup off'. Pages with Cotter's SDK need it for passkeys.")
		case project.HidesPasskeys(p) && p.Settings.PasskeyRequired:
			r.warning("lookup", p.ID, "strangers do not learn who has an account, nor does Cotter's SDK who has a passkey: its pages never ask for the one that is required",
				"Where pages of the project use that SDK: '"+set+" --lookup minimal'.")
		case project.HidesPasskeys(p):
			r.ok("lookup", p.ID, "strangers do not learn who has an account, so pages with Cotter's SDK offer no sign-in by passkey (--lookup minimal)")
		default:
			r.ok("lookup", p.ID, "strangers do not learn who has an account")
		}
	}
}

// ways looks at whether what a project names as its methods can work.
func ways(r *Report, p *splitpin.Project, set string) {
	var lacking []string
	for _, method := range p.Settings.Methods {
		if lack := project.Lacks(p.Settings, method); lack != "" {
			lacking = append(lacking, method+" needs "+lack)
		}
	}
	switch {
	case !project.Opens(p.Settings):
		r.problem("methods", p.ID, strings.Join(append([]string{"nobody can sign in with " + strings.Join(p.Settings.Methods, " and ")}, lacking...), "; "),
			"Give it what it needs, or another method with '"+set+" --method email_code'.")
	case len(lacking) > 0:
		r.warning("methods", p.ID, strings.Join(lacking, "; ")+", and is not offered", "Give it that, or name the other methods only, with '"+set+" --method …'.")
	default:
		r.ok("methods", p.ID, "there is a way to sign in")
	}
}

// Captcha looks at what projects ask of a captcha. there tells whether the server has a
// provider of captchas.
func Captcha(r *Report, projects []*splitpin.Project, there bool) {
	for _, p := range projects {
		switch {
		case p.Settings.Captcha == splitpin.CaptchaNever:
		case there:
			r.ok("captcha", p.ID, "asked by the rule "+string(p.Settings.Captcha))
		default:
			r.warning("captcha", p.ID, "it wants a captcha ("+string(p.Settings.Captcha)+"), and the server has none: nobody is asked for one",
				"Configure captcha.provider, or: splitpin project set "+p.ID+" --captcha never")
		}
	}
}

// Outgoing looks at the addresses that projects have us ask. refused returns those to which
// no request of ours goes, and why.
func Outgoing(r *Report, projects []*splitpin.Project, refused func(*splitpin.Project) []string) {
	for _, p := range projects {
		if lost := refused(p); len(lost) > 0 {
			r.problem("outgoing", p.ID, "no request reaches "+strings.Join(lost, "; nor "),
				"Correct the address ('splitpin project provider add', 'splitpin project set "+p.ID+" --completion-url'), or list the host in outgoing_allow and restart the server.")
		} else {
			r.ok("outgoing", p.ID, "no address that it names is refused")
		}
	}
}

// loopback reports whether an origin is this very machine.
func loopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && a.IsLoopback()
}

// Age limits of what should move by itself or be replaced by hand.
const (
	signingKeyAge = 400 * 24 * time.Hour
	rotationLate  = 15 * time.Minute // beyond the moment at which a key should have moved on
	outboxLate    = time.Minute      // a due message that nobody took
	backupLate    = 26 * time.Hour   // a daily one, with some slack
)

// SigningKeys looks at the age of the keys that sign and at rotations that
// should have gone on.
func SigningKeys(r *Report, now time.Time, projects []*splitpin.Project, keys []*splitpin.SigningKey) {
	for _, p := range projects {
		active := false
		late := ""
		for _, k := range keys {
			if k.Project != p.Number {
				continue
			}
			switch token.StateOf(k) {
			case token.Active:
				if k.Use != splitpin.TokenKey {
					break
				}
				active = true
				age := now.Sub(k.ActiveAt)
				if age > signingKeyAge {
					r.warning("signing_keys", p.ID, "the key has signed for "+days(age), "Replace it with 'splitpin keys rotate "+p.ID+"', which says who has to know.")
				} else {
					r.ok("signing_keys", p.ID, "the key has signed for "+days(age))
				}
			case token.Announced:
				if from := token.ActiveFrom(p, k); now.Sub(from) > rotationLate {
					late = "a key should have signed since " + from.UTC().Format(time.RFC3339)
				}
			case token.Retiring:
				if gone := token.GoneFrom(k); now.Sub(gone) > rotationLate {
					late = "a retired key should have left the key set at " + gone.UTC().Format(time.RFC3339)
				}
			}
		}
		if !active {
			r.problem("signing_keys", p.ID, "no key signs", "Make one at once with 'splitpin keys rotate "+p.ID+" --compromised --accept-breakage'.")
		}
		if late != "" {
			r.problem("rotation", p.ID, late, "Start the server: it takes these steps by itself; its log says what holds it up.")
		} else {
			r.ok("rotation", p.ID, "no step is overdue")
		}
	}
}

// WrongMaster says that none of the configured master keys opens the database.
func WrongMaster(r *Report) {
	r.problem("data_keys", "", "the master key does not open this database", "Give the master key with which the database was last served; after a change of it, the new one.")
}

// DataKeys looks at the keys that the master key wraps. purposes are all there
// should be.
func DataKeys(r *Report, now time.Time, keys []*splitpin.DataKey, purposes []string) {
	var missing []string
	oldest := now
	for _, purpose := range purposes {
		var newest splitpin.DataKey
		for _, k := range keys {
			if k.Purpose == purpose && k.Generation > newest.Generation {
				newest = *k
			}
		}
		if len(newest.Wrapped) == 0 {
			missing = append(missing, purpose)
		} else if newest.CreatedAt.Before(oldest) {
			oldest = newest.CreatedAt
		}
	}
	if len(missing) > 0 {
		r.problem("data_keys", "", "no usable key for "+strings.Join(missing, ", "), "Restart the server, which makes what is missing; a change of the master key that was cut off is simply repeated.")
		return
	}
	r.ok("data_keys", "", fmt.Sprintf("the master key opens all %d; the oldest was made %s ago", len(purposes), days(now.Sub(oldest))))
}

// Outbox looks at what waits, and at what became of the newest messages: those of
// the last hour or so, since older ones are swept.
func Outbox(r *Report, now time.Time, waiting store.Backlog, newest []*splitpin.Message) {
	if late := now.Sub(waiting.OldestDue); waiting.Messages > 0 && late > outboxLate {
		r.problem("outbox", "", fmt.Sprintf("%d wait, one has been due for %s", waiting.Messages, late.Round(time.Second)), "Start the server, and read its log: a due message is taken within a second.")
	} else {
		r.ok("outbox", "", fmt.Sprintf("%d wait, none longer than it should", waiting.Messages))
	}

	sent := 0
	reasons := map[string]int{}
	for _, m := range newest {
		switch {
		case !m.SentAt.IsZero():
			sent++
		case !m.GivenUpAt.IsZero():
			stage, _, _ := strings.Cut(m.Reason, ":")
			reasons[stage]++
		}
	}
	givenUp, most := 0, ""
	for stage, n := range reasons {
		givenUp += n
		if most == "" || n > reasons[most] || n == reasons[most] && cmp.Less(stage, most) {
			most = stage
		}
	}
	const do = "See 'splitpin message list --given-up', and the row of that stage in docs/operate/mail.md."
	seen := fmt.Sprintf("%d of %d messages were given up", givenUp, givenUp+sent)
	switch {
	case givenUp >= 5 && givenUp*2 > givenUp+sent:
		r.problem("given_up", "", seen+", most at the stage "+short(most), do)
	case givenUp >= 5 && givenUp*20 > givenUp+sent:
		r.warning("given_up", "", seen+", most at the stage "+short(most), do)
	default:
		r.ok("given_up", "", seen)
	}
}

// Backup looks at when the last one was made; the zero time: never.
func Backup(r *Report, now, last time.Time) {
	const do = "Run 'splitpin backup' every day, and see that it succeeds."
	switch age := now.Sub(last); {
	case last.IsZero():
		r.warning("backup", "", "none was ever made", do)
	case age > 7*backupLate:
		r.problem("backup", "", "the last one is "+days(age)+" old", do)
	case age > backupLate:
		r.warning("backup", "", "the last one is "+days(age)+" old", do)
	default:
		r.ok("backup", "", "the last one was made "+last.UTC().Format(time.RFC3339))
	}
}

// Senders looks whether this is a trial copy, which writes to nobody. since is when it was
// made; zero: it is none.
func Senders(r *Report, since time.Time) {
	if since.IsZero() {
		r.ok("senders", "", "messages leave for people")
		return
	}
	r.warning("senders", "", "this is a trial copy, restored "+since.UTC().Format(time.RFC3339)+": no message leaves for anybody, so nobody can sign in",
		"Leave it so where it is to try things with. Where it is to serve people: 'splitpin message resume'.")
}

// NoDatabase says why there is no file to look at, or why it cannot be read.
func NoDatabase(r *Report, folder string, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.problem("database", "", "there is no database in "+folder, "Check data in the configuration, and make the first project with 'splitpin project create'.")
	case errors.Is(err, store.ErrDamaged):
		damaged(r, "not even its header and schema can be read")
	default:
		r.unknown("database", "", short(err.Error()), "Run the command as the user of the server.")
	}
}

// Moved says that the database is the original of a move, which nobody serves from.
func Moved(r *Report) {
	r.problem("database", "", "this installation was moved to another database, or is being moved: no server opens this one", "Name the other one in database and data. "+
		"To serve from here again, and lose what happened there: 'splitpin db reopen'.")
}

func damaged(r *Report, how string) {
	r.problem("integrity", "", "the file is damaged: "+how, "Stop the server, keep the file aside, restore the last good backup, and check the disk.")
}

// otherTables says that another version of the program made the tables.
func otherTables(r *Report, made, known int64) {
	if made < known {
		r.problem("database", "", fmt.Sprintf("its tables are of version %d, this program wants %d", made, known), "Restart the server with this program, or run the command of the version that serves.")
	} else {
		r.problem("database", "", fmt.Sprintf("its tables are of version %d, this program knows %d", made, known), "Run the command of the version that serves.")
	}
}

// SQLite looks at the file of the database. integrity tells how to read it whole.
func SQLite(ctx context.Context, r *Report, seen store.Inspection, disk Disk, integrity func(context.Context) ([]string, error)) {
	switch {
	case !seen.Ours:
		r.problem("database", "", "the file belongs to another program", "Check data in the configuration.")
		return
	case seen.Tables != seen.Known:
		otherTables(r, seen.Tables, seen.Known)
	default:
		r.ok("database", "", fmt.Sprintf("SQLite %s, tables of version %d, pages of %d bytes", seen.Library, seen.Tables, seen.PageSize))
	}
	if seen.WAL {
		r.ok("durability", "", "write-ahead log; every commit is synced")
	} else {
		r.problem("durability", "", "the write-ahead log is off, so a power cut can lose what was acknowledged", "Move the data folder to a local file system and restart the server, which switches it on.")
	}
	r.doing("reading the whole database")
	if wrong, err := integrity(ctx); err != nil {
		r.unknown("integrity", "", "the database could not be read to its end: "+short(err.Error()), "Run the command again when the server has less to do.")
	} else if len(wrong) > 0 {
		damaged(r, short(strings.Join(wrong[:min(3, len(wrong))], "; ")))
	} else {
		r.ok("integrity", "", "every page and index is sound")
	}
	size := fmt.Sprintf("%s, %s of it free, log %s", bytesOf(seen.Pages*seen.PageSize), bytesOf(seen.FreePages*seen.PageSize), bytesOf(seen.LogBytes))
	if seen.LogBytes > 256<<20 {
		r.warning("size", "", size, "Something reads for very long (a backup, another program), so the log cannot be emptied: end it.")
	} else {
		r.ok("size", "", size)
	}
	diskOf(r, disk, seen.Pages*seen.PageSize)
}

// A Disk is what is known of the file system under the data.
type Disk struct {
	Known     bool
	Free      int64 // bytes that this user may still write
	Total     int64
	Kind      string // "ext4", "nfs", …; empty: not known by name
	IsNetwork bool   // its locks and syncs are another machine's
}

func diskOf(r *Report, d Disk, size int64) {
	if !d.Known {
		r.unknown("disk_space", "", "this system does not tell how much is free", "Watch the disk of the data folder by other means.")
		return
	}
	seen := fmt.Sprintf("%s of %s free", bytesOf(d.Free), bytesOf(d.Total))
	const do = "Make room, or move the data folder to a larger disk: a full disk refuses every sign-in."
	switch {
	case d.Free < 100<<20:
		r.problem("disk_space", "", seen, do)
	case d.Free < max(1<<30, size/4):
		r.warning("disk_space", "", seen, do)
	default:
		r.ok("disk_space", "", seen)
	}
	if d.IsNetwork {
		r.problem("file_system", "", "the data lies on a network file system ("+d.Kind+"), where SQLite's locks and syncs are not to be relied on", "Move the data folder to a local disk, or use PostgreSQL.")
	} else {
		r.ok("file_system", "", "the data lies on a local file system")
	}
}

func bytesOf(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
