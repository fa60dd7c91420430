package store

// Held tells how many steps wait in a group, for a neighbour to decide or for its end.
func (s *Postgres) Held() int { return int(s.held.Load()) }

// Alone makes a store whose steps share no transaction.
func (o PostgresOptions) Alone() PostgresOptions { o.alone = true; return o }
