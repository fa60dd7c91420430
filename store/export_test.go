package store

// Held tells how many steps wait in a group, for a neighbour to decide or for its end.
func (s *Postgres) Held() int { return int(s.held.Load()) }
