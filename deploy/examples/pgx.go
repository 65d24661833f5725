// Go and pgx through pgsonde: host and port are pgsonde's; the password comes from PGPASSWORD.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	const url = "postgres://shop@127.0.0.1:6435/shop?sslmode=disable&application_name=shop"
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer pool.Close()
}
