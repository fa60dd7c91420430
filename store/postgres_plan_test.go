package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
)

// TestPlans: what every request pays for finds its rows by an index, even where it was
// planned while the tables were empty.
func TestPlans(t *testing.T) {
	s := openPostgres(t, prepared(t), PostgresOptions{Unsafe: true})
	r, err := s.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.release(r)
	l := r.Value()
	int8s, texts := uint32(oidInt8Array), uint32(oidTextArray)
	queries := map[*query][]uint32{
		limitsLocked: nil, limitsChanged: {int8s, int8s},
		togetherSessions: nil, togetherGrants: nil, togetherAttempts: nil, togetherNewcomers: nil,
		togetherNames:      {int8s, int8s, texts, int8s},
		pgSessionsAndUsers: nil,
		pgMessages.locking: nil, pgCredential.locking: nil,
		credentialSites: nil, credentialsAt: nil,
		eventsNewer: nil, eventsSince: nil,
	}
	for _, w := range []way{wayNumber, wayID, wayName, wayAttempt, wayGrant, waySession, wayCredential} {
		queries[w.user.locking], queries[w.sessions.locking], queries[w.credentials.locking] = nil, nil, nil
	}
	for i, rows := range rowsAtOnce {
		l.bind.reset(manySessions.put[i].parameters)
		for range rows {
			sessionColumns(new(splitpin.Session), &l.bind)
		}
		queries[manySessions.put[i]] = slices.Clone(l.bind.types)
	}
	for q, types := range queries {
		name := fmt.Sprintf("plan%d", q.index)
		if _, err := l.Prepare(t.Context(), name, q.text, types); err != nil {
			t.Errorf("preparing %.60s…: %v", q.text, err)
			continue
		}
		nulls := strings.TrimSuffix(strings.Repeat("NULL, ", q.parameters), ", ")
		results, err := l.Exec(t.Context(), "EXPLAIN EXECUTE "+name+" ("+nulls+")").ReadAll()
		if err != nil {
			t.Errorf("explaining %.60s…: %v", q.text, err)
			continue
		}
		var plan strings.Builder
		for _, row := range results[0].Rows {
			fmt.Fprintf(&plan, "%s\n", row[0])
		}
		for _, bad := range []string{"Seq Scan", "Hash Join", "Merge Join"} {
			if strings.Contains(plan.String(), bad) {
				t.Errorf("%.60s… is planned with a %s:\n%s", q.text, bad, &plan)
			}
		}
	}
}
