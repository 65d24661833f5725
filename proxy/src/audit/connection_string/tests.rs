//! Every form of the table: what it leads to, what becomes of it, and that no password is shown.

use super::variables::{Variables, pass_file, service};
use super::*;
use std::collections::BTreeMap;

fn place() -> Place {
    Place { host: "127.0.0.1".to_owned(), port: 7000 }
}

/// String, upstream, what the child gets.
const FORMS: &[(&str, &str, &str)] = &[
    (
        "postgres://app:s3cret@db:5433/shop",
        "postgresql:///?host=db&port=5433",
        "postgres://app:s3cret@127.0.0.1:7000/shop?sslmode=disable",
    ),
    (
        "postgresql://app:a%40b@db/shop?connect_timeout=5&sslmode=verify-full&sslrootcert=%2Fca.pem&application_name=x",
        "postgresql:///?host=db&port=5432&sslmode=verify-full&sslrootcert=/ca.pem",
        "postgresql://app:a%40b@127.0.0.1:7000/shop?connect_timeout=5&application_name=x&sslmode=disable",
    ),
    (
        "postgis://u@[::1]:5/g",
        "postgresql:///?host=%3A%3A1&port=5",
        "postgis://u@127.0.0.1:7000/g?sslmode=disable",
    ),
    (
        "postgresql+psycopg://u:p@h/d",
        "postgresql:///?host=h&port=5432",
        "postgresql+psycopg://u:p@127.0.0.1:7000/d?sslmode=disable",
    ),
    (
        "postgresql+asyncpg://u:p@h/d?ssl=require&prepared_statement_cache_size=0",
        "postgresql:///?host=h&port=5432&sslmode=require",
        "postgresql+asyncpg://u:p@127.0.0.1:7000/d?prepared_statement_cache_size=0&ssl=disable",
    ),
    (
        "postgresql+pg8000://u:p@h/d",
        "postgresql:///?host=h&port=5432",
        "postgresql+pg8000://u:p@127.0.0.1:7000/d",
    ),
    (
        "ecto://u:p@h/d?ssl=true&pool_size=2",
        "postgresql:///?host=h&port=5432&sslmode=require",
        "ecto://u:p@127.0.0.1:7000/d?pool_size=2&ssl=false",
    ),
    (
        "jdbc:postgresql://h:6/d?user=u&password=p&sslmode=require&sslfactory=x.Y",
        "postgresql:///?host=h&port=6&sslmode=require",
        "jdbc:postgresql://127.0.0.1:7000/d?user=u&password=p&sslmode=disable",
    ),
    (
        "jdbc:postgresql://h/d?ssl=true",
        "postgresql:///?host=h&port=5432&sslmode=verify-full",
        "jdbc:postgresql://127.0.0.1:7000/d?sslmode=disable",
    ),
    (
        "jdbc:postgresql:d",
        "postgresql:///?host=localhost&port=5432",
        "jdbc:postgresql://127.0.0.1:7000/d?sslmode=disable",
    ),
    (
        "host=h hostaddr = 10.0.0.1 port=6 dbname=d user=u password='it\\'s a \\\\ one' sslmode=prefer",
        "postgresql:///?host=10.0.0.1&port=6&sslmode=prefer",
        "dbname=d user=u password='it\\'s a \\\\ one' host=127.0.0.1 port=7000 sslmode=disable",
    ),
    (
        "host=h hostaddr=10.0.0.1 sslmode=verify-full dbname=d",
        "postgresql:///?host=h&port=5432&sslmode=verify-full",
        "dbname=d host=127.0.0.1 port=7000 sslmode=disable",
    ),
    (
        "Host=h;Port=6;Username=u;Password=\"a;b\";Ssl Mode=VerifyFull;Root Certificate=/ca.pem",
        "postgresql:///?host=h&port=6&sslmode=verify-full&sslrootcert=/ca.pem",
        "Username=u;Password=\"a;b\";Host=127.0.0.1;Port=7000;SSL Mode=Disable",
    ),
    (
        "Server=h1:6,h2;User Id=u;Pooling=true",
        "postgresql:///?host=h1,h2&port=6,5432",
        "User Id=u;Pooling=true;Host=127.0.0.1;Port=7000;SSL Mode=Disable",
    ),
    (
        "host=/run/pg port=7 dbname=d",
        "postgresql:///?host=/run/pg&port=7",
        "dbname=d host=127.0.0.1 port=7000 sslmode=disable",
    ),
    (
        "postgresql:///d?host=%2Frun%2Fpg",
        "postgresql:///?host=/run/pg&port=5432",
        "postgresql://127.0.0.1:7000/d?sslmode=disable",
    ),
    (
        "postgresql://u@%2Frun%2Fpg/d",
        "postgresql:///?host=/run/pg&port=5432",
        "postgresql://u@127.0.0.1:7000/d?sslmode=disable",
    ),
    (
        "postgresql:///d",
        "postgresql:///?host=/var/run/postgresql&port=5432",
        "postgresql://127.0.0.1:7000/d?sslmode=disable",
    ),
    (
        "postgresql://u@h1:1,h2:2/d?target_session_attrs=any",
        "postgresql:///?host=h1,h2&port=1,2",
        "postgresql://u@127.0.0.1:7000/d?sslmode=disable",
    ),
];

#[test]
fn every_form_is_rewritten() {
    for (text, upstream, after) in FORMS {
        let read = ConnectionString::read(text).unwrap_or_else(|why| panic!("{text}: {why:?}"));
        assert_eq!(read.server.upstream_url(), *upstream, "{text}");
        assert_eq!(read.leading_to(&place()), *after, "{text}");
        // What the child gets leads there, and nowhere else.
        let again = ConnectionString::read(after).unwrap();
        assert_eq!(again.server.hosts, [("127.0.0.1".to_owned(), 7000)], "{after}");
        crate::config::Upstream::parse(upstream, "test").unwrap_or_else(|_| panic!("{upstream}"));
    }
}

#[test]
fn passwords_are_hidden() {
    let rows = [
        ("postgres://app:s3cret@db/shop", "postgres://app:•••@db/shop"),
        (
            "jdbc:postgresql://h/d?user=u&password=s3cret",
            "jdbc:postgresql://h/d?user=u&password=•••",
        ),
        ("host=h password='s3cret x' user=u", "host=h password=••• user=u"),
        ("Host=h;Password=s3cret;Username=u", "Host=h;Password=•••;Username=u"),
        ("Host=h;PWD=s3cret", "Host=h;PWD=•••"),
        ("postgres://app@db/shop", "postgres://app@db/shop"),
    ];
    for (text, masked) in rows {
        let shown = ConnectionString::read(text).unwrap().masked();
        assert_eq!(shown, masked);
        assert!(!shown.contains("s3cret"));
    }
}

#[test]
fn what_can_not_be_is_refused_without_a_secret() {
    let rows = [
        "mysql://app:s3cret@db/shop",
        "jdbc:mysql://db/shop",
        "nonsense s3cret",
        "",
        "host='s3cret",
        "Host=h;Password=\"s3cret",
        "postgres://h:99999/d",
        "postgres://h1,h2/d?port=1,2,3",
    ];
    for text in rows {
        match ConnectionString::read(text) {
            Err(Refusal::Malformed(why)) => assert!(!why.contains("s3cret"), "{why}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    for text in [
        "postgres://h1,h2/d?target_session_attrs=read-write",
        "jdbc:postgresql://h1,h2/d?targetServerType=primary",
        "Host=h1,h2;Target Session Attributes=primary",
    ] {
        assert!(matches!(ConnectionString::read(text), Err(Refusal::TargetSession(_))), "{text}");
    }
}

#[test]
fn channel_binding_goes_with_a_warning() {
    let read = ConnectionString::read("postgres://u@h/d?channel_binding=require").unwrap();
    assert_eq!(read.warnings.len(), 1);
    assert_eq!(read.leading_to(&place()), "postgres://u@127.0.0.1:7000/d?sslmode=disable");
    assert!(
        ConnectionString::read("postgres://u@h/d?channel_binding=prefer")
            .unwrap()
            .warnings
            .is_empty()
    );
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn variables_are_set_and_cleared() {
    let environment = map(&[
        ("PGHOST", "db"),
        ("PGHOSTADDR", "10.0.0.1"),
        ("PGPORT", "6"),
        ("PGSSLMODE", "require"),
        ("PGCHANNELBINDING", "require"),
        ("PGUSER", "app"),
    ]);
    let read = Variables::read(&environment, &BTreeMap::new()).unwrap();
    assert_eq!(read.server.upstream_url(), "postgresql:///?host=10.0.0.1&port=6&sslmode=require");
    assert_eq!(read.warnings.len(), 1);
    let changes = read.leading_to(&place());
    assert_eq!(changes["PGHOST"].as_deref(), Some("127.0.0.1"));
    assert_eq!(changes["PGPORT"].as_deref(), Some("7000"));
    assert_eq!(changes["PGSSLMODE"].as_deref(), Some("disable"));
    for gone in ["PGHOSTADDR", "PGSERVICE", "PGSSLROOTCERT", "PGCHANNELBINDING"] {
        assert_eq!(changes[gone], None, "{gone}");
    }
    assert!(!changes.contains_key("PGUSER"), "it stays as it is");
}

#[test]
fn a_service_is_stronger_and_its_credentials_are_kept() {
    let text = "# comment\n[other]\nhost=o\n[shop]\nhost = db\nport=6\nuser=app\npassword=p\ndbname=shop\n[last]\nhost=l\n";
    let shop = service(text, "shop").unwrap();
    assert_eq!(service(text, "absent"), None);
    let read = Variables::read(&map(&[("PGSERVICE", "shop"), ("PGHOST", "x")]), &shop).unwrap();
    assert_eq!(read.server.shown(), "db:6");
    let changes = read.leading_to(&place());
    for (name, value) in [("PGUSER", "app"), ("PGPASSWORD", "p"), ("PGDATABASE", "shop")] {
        assert_eq!(changes[name].as_deref(), Some(value), "{name}");
    }
    assert_eq!(changes["PGSERVICE"], None);
}

#[test]
fn a_pass_file_gets_lines_for_the_new_place() {
    let server = ConnectionString::read("postgres://u@db:6/d").unwrap().server;
    let text = "# mine\ndb:6:shop:app:p\\:w\ndb:7:shop:app:no\n*:*:x:y:z\nother:6:a:b:c\n";
    let copy = pass_file(text, &[(server, place())]);
    assert_eq!(copy, format!("127.0.0.1:7000:shop:app:p\\:w\n127.0.0.1:7000:x:y:z\n{text}"));
}
