// pgx: `pgx list|run …`; scenario.py tells how such programs speak. In autocommit, unless it says otherwise.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"time"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const (
	page          = 40
	pageCustomers = 23
	pageOfOrders  = "select id, customer_id, status from orders order by id desc limit $1"
	customerByID  = "select id, name from customers where id = $1"
	itemsOfOrder  = "select id, quantity from items where order_id = $1"
)

type object = map[string]interface{}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...interface{}) (pgx.Rows, error)
}

type shop struct {
	pool *pgxpool.Pool
	url  string
}

type scenario struct {
	Name    string   `json:"name"`
	Expect  []object `json:"expect"`
	Never   []string `json:"never"`
	May     []string `json:"may"`
	repeats int
	run     func(shop) []object
}

var (
	always    = context.Background()
	scenarios []scenario
)

// finds: the program has a problem; expect must be found.
func finds(name string, expect []object, may []string, repeats int, run func(shop) []object) {
	scenarios = append(scenarios, scenario{name, expect, []string{}, may, repeats, run})
}

// silent: nothing of warning or above, and none of the kinds that it was repaired of.
func silent(name string, never []string, repeats int, run func(shop)) {
	quiet := func(s shop) []object { run(s); return nil }
	scenarios = append(scenarios, scenario{name, []object{}, never, []string{}, repeats, quiet})
}

func nPlusOne(parent, child, gate string) []object {
	return []object{{"kind": "n_plus_one", "proof": "dataflow", "parent": parent, "child": child, "gate": gate}}
}

func kind(name, child string) []object {
	if child == "" {
		return []object{{"kind": name}}
	}
	return []object{{"kind": name, "child": child}}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// read gives the wanted column of all rows.
func read(db querier, column int, sql string, args ...interface{}) []interface{} {
	rows, err := db.Query(always, sql, args...)
	must(err)
	defer rows.Close()
	var found []interface{}
	for rows.Next() {
		values, err := rows.Values()
		must(err)
		found = append(found, values[column])
	}
	must(rows.Err())
	return found
}

func distinct(values []interface{}) []interface{} {
	seen := map[interface{}]bool{}
	var kept []interface{}
	for _, value := range values {
		if !seen[value] {
			kept = append(kept, value)
		}
		seen[value] = true
	}
	return kept
}

func inTransaction(s shop, work func(pgx.Tx)) {
	must(s.pool.BeginFunc(always, func(tx pgx.Tx) error { work(tx); return nil }))
}

func word() string { return fmt.Sprintf("w%016x", rand.Uint64()) }

func email(number int) string { return fmt.Sprintf("c%d@example.net", number*7%300) }

func relations() {
	finds("lookups_in_a_loop", nPlusOne("orders.customer_id", "customers.id", "chain"), nil, 3, func(s shop) []object {
		for _, id := range distinct(read(s.pool, 1, pageOfOrders, page)) {
			read(s.pool, 0, customerByID, id)
		}
		return []object{{"n": pageCustomers, "rows": page}}
	})
	silent("looked_up_by_array", []string{"n_plus_one", "looped_lookup"}, 3, func(s shop) {
		var ids []int32
		for _, id := range read(s.pool, 1, pageOfOrders, page) {
			ids = append(ids, id.(int32))
		}
		read(s.pool, 0, "select id, name from customers where id = any($1)", ids)
	})
	finds("children_in_a_transaction", nPlusOne("orders.id", "items.order_id", "scope"), nil, 3, func(s shop) []object {
		inTransaction(s, func(tx pgx.Tx) {
			for _, id := range read(tx, 0, pageOfOrders, page) {
				read(tx, 0, itemsOfOrder, id)
			}
		})
		return []object{{"n": page, "rows": page}}
	})
	finds("children_in_a_batch", nPlusOne("orders.id", "items.order_id", "scope"), nil, 3, func(s shop) []object {
		inTransaction(s, func(tx pgx.Tx) {
			batch := &pgx.Batch{}
			for _, id := range read(tx, 0, pageOfOrders, page) {
				batch.Queue(itemsOfOrder, id)
			}
			must(tx.SendBatch(always, batch).Close())
		})
		return []object{{"n": page, "rows": page}}
	})
	finds("simple_protocol", nPlusOne("orders.id", "items.order_id", "chain"), nil, 3, func(s shop) []object {
		for _, id := range read(s.pool, 0, pageOfOrders, pgx.QuerySimpleProtocol(true), page) {
			read(s.pool, 0, itemsOfOrder, pgx.QuerySimpleProtocol(true), id)
		}
		return []object{{"n": page, "rows": page}}
	})
	silent("joined", []string{"n_plus_one", "looped_lookup"}, 3, func(s shop) {
		read(s.pool, 0, "select o.id, c.name from orders o join customers c on c.id = o.customer_id order by o.id desc limit 40")
	})
}

func loops() {
	finds("looped_lookup", kind("looped_lookup", "customers.email"), nil, 3, func(s shop) []object {
		for number := 0; number < 60; number++ {
			read(s.pool, 0, "select id, name from customers where email = $1", email(number))
		}
		return []object{{"n": 60}}
	})
	finds("insert_by_row", kind("write_loop", "tags"), nil, 3, func(s shop) []object {
		for number := 0; number < 30; number++ {
			_, err := s.pool.Exec(always, "insert into tags (name, uses) values ($1, 0)", word())
			must(err)
		}
		return []object{{"n": 30}}
	})
	silent("insert_by_copy", []string{"write_loop"}, 3, func(s shop) {
		var rows [][]interface{}
		for number := 0; number < 300; number++ {
			rows = append(rows, []interface{}{word(), int32(0)})
		}
		_, err := s.pool.CopyFrom(always, pgx.Identifier{"tags"}, []string{"name", "uses"}, pgx.CopyFromRows(rows))
		must(err)
	})
	silent("insert_by_batch", []string{"write_loop"}, 3, func(s shop) {
		batch := &pgx.Batch{}
		for number := 0; number < 200; number++ {
			batch.Queue("insert into tags (name, uses) values ($1, 0)", word())
		}
		must(s.pool.SendBatch(always, batch).Close())
	})
	finds("update_by_row", kind("write_loop", "products"), nil, 3, func(s shop) []object {
		inTransaction(s, func(tx pgx.Tx) {
			for number := 0; number < 30; number++ {
				_, err := tx.Exec(always, "update products set stock = stock + 1 where id = $1", 500000+number*7)
				must(err)
			}
		})
		return []object{{"n": 30}}
	})
	finds("savepoint_by_row", kind("savepoint_loop", ""), []string{"write_loop"}, 3, func(s shop) []object {
		inTransaction(s, func(tx pgx.Tx) {
			for number := 0; number < 20; number++ {
				must(tx.BeginFunc(always, func(inner pgx.Tx) error {
					_, err := inner.Exec(always, "insert into tags (name, uses) values ($1, 0)", word())
					return err
				}))
			}
		})
		return []object{{"n": 20}}
	})
	finds("same_read_again", kind("duplicate_query", "countries"), nil, 3, func(s shop) []object {
		for number := 0; number < 12; number++ {
			read(s.pool, 0, "select name from countries where id = $1", 301)
		}
		return []object{{"n": 12}}
	})
}

func results() {
	finds("whole_table", kind("unbounded_result", "events"), nil, 3, func(s shop) []object {
		read(s.pool, 0, "select id, device from events")
		return nil
	})
	finds("offset_pages", kind("deep_offset", "events"), nil, 3, func(s shop) []object {
		for number := 0; number < 12; number++ {
			read(s.pool, 0, "select id, device from events order by id limit 20 offset $1", number*1900)
			time.Sleep(60 * time.Millisecond)
		}
		return nil
	})
	silent("keyset_pages", []string{"deep_offset", "n_plus_one"}, 3, func(s shop) {
		var last interface{} = 0
		for number := 0; number < 12; number++ {
			ids := read(s.pool, 0, "select id, device from events where id > $1 order by id limit 20", last)
			last = ids[len(ids)-1]
			time.Sleep(60 * time.Millisecond)
		}
	})
	silent("huge_array", []string{"large_in_list", "in_list_churn"}, 3, func(s shop) {
		var ids []int32
		for number := int32(0); number < 1200; number++ {
			ids = append(ids, 500000+number*7)
		}
		read(s.pool, 0, "select id, name from products where id = any($1)", ids)
	})
}

func sessions() {
	finds("connection_per_query", kind("connection_churn", ""), nil, 1, func(s shop) []object {
		for number := 0; number < 15; number++ {
			db, err := pgx.Connect(always, s.url)
			must(err)
			read(db, 0, customerByID, 7000+number*3)
			must(db.Close(always))
		}
		return nil
	})
	finds("remote_call_in_a_transaction", kind("idle_in_transaction", ""), nil, 1, func(s shop) []object {
		inTransaction(s, func(tx pgx.Tx) {
			_, err := tx.Exec(always, "update products set stock = 7 where id = $1", 500000)
			must(err)
			time.Sleep(1300 * time.Millisecond)
		})
		return nil
	})
	silent("queue_worker", []string{"n_plus_one", "write_loop"}, 3, func(s shop) {
		for number := 0; number < 20; number++ {
			inTransaction(s, func(tx pgx.Tx) {
				take := "select id from jobs where state = 'ready' order by id limit 1 for update skip locked"
				_, err := tx.Exec(always, "update jobs set state = 'done' where id = $1", read(tx, 0, take)[0])
				must(err)
			})
		}
	})
	silent("pinged_pool", []string{"ping_overhead"}, 3, func(s shop) {
		for number := 0; number < 5; number++ {
			must(s.pool.Ping(always))
			read(s.pool, 0, pageOfOrders, page)
		}
	})
}

func played(one scenario, url string) (answer object) {
	answer = object{"scenario": one.Name}
	defer func() {
		if problem := recover(); problem != nil {
			answer["error"] = fmt.Sprint(problem)
		}
	}()
	address := fmt.Sprintf("%s_%s?application_name=%s&pool_max_conns=2", url, one.Name, one.Name)
	pool, err := pgxpool.Connect(always, address)
	must(err)
	defer pool.Close()
	truth := []object{}
	for repeat := 0; repeat < one.repeats; repeat++ {
		if repeat > 0 {
			time.Sleep(300 * time.Millisecond)
		}
		direct := fmt.Sprintf("%s_%s?application_name=%s", url, one.Name, one.Name)
		truth = one.run(shop{pool, direct})
	}
	for _, numbers := range truth {
		numbers["sightings"] = one.repeats
	}
	answer["truth"] = append([]object{}, truth...)
	return answer
}

func main() {
	relations()
	loops()
	results()
	sessions()
	out := json.NewEncoder(os.Stdout)
	if os.Args[1] == "list" {
		for _, one := range scenarios {
			must(out.Encode(one))
		}
		return
	}
	for _, name := range os.Args[3:] {
		for _, one := range scenarios {
			if one.Name == name {
				must(out.Encode(played(one, os.Args[2])))
			}
		}
	}
}
