// PostgreSQL's JDBC driver: `java -cp postgresql.jar Jdbc.java list|run …`; scenario.py tells how such programs speak.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Savepoint;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.UUID;

public class Jdbc {
    static final int PAGE = 40;
    static final int PAGE_CUSTOMERS = 23;
    static final String PAGE_OF_ORDERS = "select id, customer_id, status from orders order by id desc limit ?";
    static final String CUSTOMER = "select id, name from customers where id = ?";
    static final String ITEMS = "select id, quantity from items where order_id = ?";

    interface Work {
        String run(Connection db) throws Exception;
    }

    /** `told` is what the list says; `options` go to the connection's URL. */
    record Scenario(String told, int repeats, int pauseMs, String options, Work work) {}

    static final Map<String, Scenario> SCENARIOS = new LinkedHashMap<>();
    static String url;
    static String name;

    static void finds(String scenario, String expect, String may, int repeats, String options, Work work) {
        String told = "\"expect\": [" + expect + "], \"never\": [], \"may\": [" + may + "]";
        SCENARIOS.put(scenario, new Scenario(told, repeats, 300, options, work));
    }

    static void finds(String scenario, String expect, Work work) {
        finds(scenario, expect, "", 3, "", work);
    }

    static void silent(String scenario, String never, int repeats, String options, Work work) {
        String told = "\"expect\": [], \"never\": [" + never + "], \"may\": []";
        SCENARIOS.put(scenario, new Scenario(told, repeats, 300, options, work));
    }

    static void silent(String scenario, String never, Work work) {
        silent(scenario, never, 3, "", work);
    }

    static String nPlusOne(String parent, String child) {
        return "{\"kind\": \"n_plus_one\", \"proof\": \"dataflow\", \"parent\": \"" + parent + "\", \"child\": \"" + child + "\"}";
    }

    static String kind(String kind, String child) {
        String of = child.isEmpty() ? "" : ", \"child\": \"" + child + "\"";
        return "{\"kind\": \"" + kind + "\"" + of + "}";
    }

    static String truth(int n, int rows) {
        return "{\"n\": " + n + ", \"rows\": " + rows + ", \"sightings\": 3}";
    }

    static String truth(int n) {
        return "{\"n\": " + n + ", \"sightings\": 3}";
    }

    static Connection connect(String options) throws SQLException {
        return DriverManager.getConnection(url + "?user=postgres&ApplicationName=" + name + options);
    }

    /** First column of all rows. */
    static List<Long> read(Connection db, String sql, Object... values) throws SQLException {
        return column(db, 1, sql, values);
    }

    static List<Long> column(Connection db, int column, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = db.prepareStatement(sql)) {
            for (int at = 0; at < values.length; at++) {
                statement.setObject(at + 1, values[at]);
            }
            List<Long> found = new ArrayList<>();
            try (ResultSet rows = statement.executeQuery()) {
                while (rows.next()) {
                    found.add(rows.getLong(column));
                }
            }
            return found;
        }
    }

    static void write(Connection db, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = db.prepareStatement(sql)) {
            for (int at = 0; at < values.length; at++) {
                statement.setObject(at + 1, values[at]);
            }
            statement.executeUpdate();
        }
    }

    static String inTransaction(Connection db, Work work) throws Exception {
        db.setAutoCommit(false);
        try {
            String truth = work.run(db);
            db.commit();
            return truth;
        } finally {
            db.setAutoCommit(true);
        }
    }

    static void streamed(Connection db, String sql, int fetchSize) throws Exception {
        inTransaction(db, open -> {
            try (PreparedStatement statement = open.prepareStatement(sql)) {
                statement.setFetchSize(fetchSize);
                try (ResultSet rows = statement.executeQuery()) {
                    while (rows.next()) {
                        rows.getLong(1);
                    }
                }
            }
            return "";
        });
    }

    static void relations() {
        finds("lookups_in_a_loop", nPlusOne("orders.customer_id", "customers.id"), db -> {
            for (long id : new LinkedHashSet<>(column(db, 2, PAGE_OF_ORDERS, PAGE))) {
                read(db, CUSTOMER, (int) id);
            }
            return truth(PAGE_CUSTOMERS, PAGE);
        });
        silent("joined", "\"n_plus_one\", \"looped_lookup\"", db -> {
            read(db, "select o.id, c.name from orders o join customers c on c.id = o.customer_id order by o.id desc limit ?", PAGE);
            return "";
        });
        finds("children_in_a_transaction", nPlusOne("orders.id", "items.order_id"), db -> inTransaction(db, open -> {
            for (long id : read(open, PAGE_OF_ORDERS, PAGE)) {
                read(open, ITEMS, id);
            }
            return truth(PAGE, PAGE);
        }));
        silent("children_by_array", "\"n_plus_one\"", db -> {
            Long[] ids = read(db, PAGE_OF_ORDERS, PAGE).toArray(new Long[0]);
            try (PreparedStatement statement = db.prepareStatement("select id, quantity from items where order_id = any(?)")) {
                statement.setArray(1, db.createArrayOf("bigint", ids));
                statement.executeQuery().close();
            }
            return "";
        });
        finds("simple_protocol", nPlusOne("orders.id", "items.order_id"), "", 3, "&preferQueryMode=simple", db -> {
            for (long id : read(db, PAGE_OF_ORDERS, PAGE)) {
                read(db, ITEMS, id);
            }
            return truth(PAGE, PAGE);
        });
        finds("portal_in_parts", nPlusOne("orders.id", "items.order_id"), db -> inTransaction(db, open -> {
            try (PreparedStatement statement = open.prepareStatement("select id, status from orders order by id desc limit 40")) {
                statement.setFetchSize(10);
                try (ResultSet rows = statement.executeQuery()) {
                    while (rows.next()) {
                        read(open, ITEMS, rows.getLong(1));
                    }
                }
            }
            return truth(PAGE, PAGE);
        }));
    }

    static void loops() {
        finds("looped_lookup", kind("looped_lookup", "customers.email"), db -> {
            for (int number = 0; number < 60; number++) {
                read(db, "select id, name from customers where email = ?", "c" + number * 7 % 300 + "@example.net");
            }
            return truth(60);
        });
        finds("insert_by_row", kind("write_loop", "tags"), db -> {
            for (int number = 0; number < 30; number++) {
                write(db, "insert into tags (name, uses) values (?, 0)", UUID.randomUUID().toString());
            }
            return truth(30);
        });
        silent("insert_batch", "\"write_loop\"", db -> inTransaction(db, open -> {
            try (PreparedStatement statement = open.prepareStatement("insert into tags (name, uses) values (?, 0)")) {
                for (int number = 0; number < 200; number++) {
                    statement.setString(1, UUID.randomUUID().toString());
                    statement.addBatch();
                }
                statement.executeBatch();
            }
            return "";
        }));
        silent("insert_batch_rewritten", "\"write_loop\"", 3, "&reWriteBatchedInserts=true", SCENARIOS.get("insert_batch").work());
        finds("update_by_row", kind("write_loop", "products"), db -> inTransaction(db, open -> {
            for (int number = 0; number < 30; number++) {
                write(open, "update products set stock = stock + 1 where id = ?", 500000 + number * 7);
            }
            return truth(30);
        }));
        finds("savepoint_by_row", kind("savepoint_loop", ""), "\"write_loop\"", 3, "", db -> inTransaction(db, open -> {
            for (int number = 0; number < 20; number++) {
                Savepoint savepoint = open.setSavepoint();
                write(open, "insert into tags (name, uses) values (?, 0)", UUID.randomUUID().toString());
                open.releaseSavepoint(savepoint);
            }
            return truth(20);
        }));
        finds("same_read_again", kind("duplicate_query", "countries"), db -> {
            for (int number = 0; number < 12; number++) {
                read(db, "select id, name from countries where id = ?", 301);
            }
            return truth(12);
        });
    }

    static void results() {
        finds("whole_table", kind("unbounded_result", "events"), db -> {
            read(db, "select id, device from events");
            return "";
        });
        silent("fetch_size_of_five_hundred", "\"unbounded_result\", \"tiny_fetch\"", db -> {
            streamed(db, "select id, device from events", 500);
            return "";
        });
        finds("fetch_size_of_five", kind("tiny_fetch", ""), db -> {
            streamed(db, "select id from events limit 400", 5);
            return "";
        });
        finds("offset_pages", kind("deep_offset", "events"), db -> {
            for (int number = 0; number < 12; number++) {
                read(db, "select id, device from events order by id limit 20 offset ?", number * 1900);
                Thread.sleep(60);
            }
            return "";
        });
        silent("keyset_pages", "\"deep_offset\", \"n_plus_one\"", db -> {
            long last = 0;
            for (int number = 0; number < 12; number++) {
                List<Long> ids = read(db, "select id, device from events where id > ? order by id limit 20", (int) last);
                last = ids.get(ids.size() - 1);
                Thread.sleep(60);
            }
            return "";
        });
    }

    static void sessions() {
        finds("connection_per_query", kind("connection_churn", ""), "", 1, "", db -> {
            for (int number = 0; number < 15; number++) {
                try (Connection own = connect("")) {
                    read(own, CUSTOMER, 7000 + number * 3);
                }
            }
            return "";
        });
        finds("remote_call_in_a_transaction", kind("idle_in_transaction", ""), "", 1, "", db -> inTransaction(db, open -> {
            write(open, "update products set stock = 7 where id = ?", 500000);
            Thread.sleep(1300);
            return "";
        }));
        silent("is_valid_before_each_unit", "\"ping_overhead\"", 20, "", db -> {
            db.isValid(1);
            read(db, "select o.id, c.name from orders o join customers c on c.id = o.customer_id order by o.id desc limit ?", PAGE);
            return "";
        });
        silent("queue_worker", "\"n_plus_one\", \"write_loop\"", db -> {
            for (int number = 0; number < 20; number++) {
                inTransaction(db, open -> {
                    long job = read(open, "select id from jobs where state = 'ready' order by id limit 1 for update skip locked").get(0);
                    write(open, "update jobs set state = 'done' where id = ?", (int) job);
                    return "";
                });
            }
            return "";
        });
    }

    static String played(Scenario scenario) throws Exception {
        String truth = "";
        try (Connection db = connect(scenario.options())) {
            for (int repeat = 0; repeat < scenario.repeats(); repeat++) {
                if (repeat > 0) {
                    Thread.sleep(scenario.repeats() > 10 ? 20 : scenario.pauseMs());
                }
                truth = scenario.work().run(db);
            }
        }
        return truth;
    }

    public static void main(String[] args) {
        relations();
        loops();
        results();
        sessions();
        if (args[0].equals("list")) {
            SCENARIOS.forEach((own, scenario) -> System.out.println("{\"name\": \"" + own + "\", " + scenario.told() + "}"));
            return;
        }
        for (int at = 2; at < args.length; at++) {
            name = args[at];
            url = "jdbc:" + args[1].replace("postgres@", "") + "_" + name;
            String answer;
            try {
                answer = "\"truth\": [" + played(SCENARIOS.get(name)) + "]";
            } catch (Exception error) {
                answer = "\"error\": \"" + error.toString().replaceAll("[\"\\\\\n]", " ") + "\"";
            }
            System.out.println("{\"scenario\": \"" + name + "\", " + answer + "}");
        }
    }
}
