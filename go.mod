module github.com/splitpin/splitpin

go 1.26
