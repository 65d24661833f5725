//! The harness itself: a cluster starts, serves and leaves nothing behind.

use pgsonde_tests::Postgres;

#[test]
fn a_cluster_serves_and_is_gone_with_its_value() {
    let postgres = Postgres::start();
    let (port, folder) = (postgres.port(), postgres.folder().to_path_buf());
    assert_eq!(postgres.psql_ok(port, "select 6 * 7"), "42");
    assert!(folder.join("data/PG_VERSION").exists());
    drop(postgres);
    assert!(!folder.exists(), "the folder is removed");
    std::net::TcpStream::connect(("127.0.0.1", port)).expect_err("nothing listens any more");
}
