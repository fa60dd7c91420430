package shop

import "testing"

// DeleteUsers empties the user table behind the shop's back.
func DeleteUsers(t *testing.T, path string) {
	t.Helper()
	db, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("DELETE FROM users"); err != nil {
		t.Fatal(err)
	}
}
