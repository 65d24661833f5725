// The same shop for `go test` and pgx: SHOP_FIXED=1 asks for all customers at once.
package shop

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v4"
	"pgsondemark"
)

func connect(t *testing.T) *pgx.Conn {
	t.Helper()
	connection, err := pgx.Connect(context.Background(), os.Getenv("DATABASE_URL"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close(context.Background()) })
	pgsondemark.Test(t)
	return connection
}

func numbers(t *testing.T, rows pgx.Rows, err error) []int32 {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []int32
	for rows.Next() {
		var number int32
		if err := rows.Scan(&number); err != nil {
			t.Fatal(err)
		}
		all = append(all, number)
	}
	return all
}

func TestOrderList(t *testing.T) {
	background := context.Background()
	connection := connect(t)
	transaction, err := connection.Begin(background)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := transaction.Query(background, "SELECT customer_id FROM orders ORDER BY id")
	customers := numbers(t, rows, err)
	found := 0
	if os.Getenv("SHOP_FIXED") == "1" {
		rows, err := transaction.Query(background, "SELECT id FROM customers WHERE id = ANY($1)", customers)
		found = len(numbers(t, rows, err))
	} else {
		for _, customer := range customers {
			rows, err := transaction.Query(background, "SELECT id FROM customers WHERE id = $1", customer)
			found += len(numbers(t, rows, err))
		}
	}
	if err := transaction.Commit(background); err != nil {
		t.Fatal(err)
	}
	if found != 12 {
		t.Fatalf("found %d customers", found)
	}
}

func TestOrderCount(t *testing.T) {
	var count int
	if err := connect(t).QueryRow(context.Background(), "SELECT count(*) FROM orders").Scan(&count); err != nil {
		t.Fatal(err)
	}
	if count != 12 {
		t.Fatalf("%d orders", count)
	}
}
