//! Good and bad rows for every source, with the code that each must give.

use super::*;

fn load(
    flags: &[(&'static str, &'static str, &str)],
    env: &[(&str, &str)],
    toml: Option<&str>,
) -> Result<Settings, Problem> {
    let values = flags.iter().map(|(key, flag, text)| (*key, *flag, (*text).to_owned())).collect();
    let flags = Flags { config: None, values };
    let env: Vec<_> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let file =
        toml.map(|text| ConfigFile { name: "pgsonde.toml".to_owned(), text: text.to_owned() });
    Settings::from_sources(&flags, &env, file.as_ref())
}

const UPSTREAM: (&str, &str, &str) = ("proxy.upstream", "--upstream", "postgresql://db");

#[test]
fn defaults_are_the_documented_ones() {
    let settings = load(&[UPSTREAM], &[], None).unwrap();
    assert_eq!(settings.proxy.listen, [Listen::parse("127.0.0.1:6435").unwrap()]);
    assert_eq!(settings.proxy.tls, TlsSettings::default());
    assert_eq!(settings.proxy.idle_timeout, None);
    assert_eq!(settings.proxy.startups_per_address, 64);
    assert_eq!(settings.proxy.upstream.to_string(), "db:5432");
    assert_eq!(settings.proxy.max_connections, 1000);
    assert_eq!(settings.proxy.connect_timeout, Duration::from_secs(10));
    assert_eq!(settings.proxy.tcp_keepalive, Some(Duration::from_secs(60)));
    assert_eq!(settings.proxy.buffer_bytes, 65_536);
    assert_eq!(settings.admin.listen.port, 9635);
    assert_eq!(settings.profile.queue_batches, 1024);
    assert_eq!(settings.profile.max_statement_text_bytes, 65_536);
    assert_eq!(settings.findings.n_plus_one_min_repeats, 5);
    assert!(settings.findings.missing_index_enabled);
    assert_eq!((settings.metrics.digests, settings.metrics.routes), (100, 128));
    assert_eq!((settings.log.level.as_str(), settings.log.json), ("info", false));
    assert_eq!(
        settings.limits(),
        Limits::default(),
        "settings and analyzer publish the same defaults"
    );
}

#[test]
fn flag_before_environment_before_file_before_default() {
    let file = "[proxy]\nupstream = 'postgresql://file'\nmax_connections = 1\nlisten = '127.0.0.1:1'\n\
                [profile]\nunit_gap = '1s'\n";
    let env = [("PGSONDE_PROXY__MAX_CONNECTIONS", "2"), ("PGSONDE_PROXY__LISTEN", "127.0.0.1:2")];
    let flags = [("proxy.listen", "--listen", "127.0.0.1:3")];
    let settings = load(&flags, &env, Some(file)).unwrap();
    assert_eq!(settings.proxy.listen[0].to_string(), "127.0.0.1:3");
    assert_eq!(settings.proxy.max_connections, 2);
    assert_eq!(settings.proxy.upstream.hosts[0].host(), "file");
    assert_eq!(settings.profile.unit_gap, Duration::from_secs(1));
    assert_eq!(settings.limits().unit_gap_us, 1_000_000);
}

#[test]
fn reads_every_kind_from_the_file() {
    let file = "[proxy]\nupstream = 'postgresql://db'\nlisten = ['127.0.0.1:1', '[::1]:2']\n\
                tcp_keepalive = '0s'\nbuffer = '32KiB'\ndrain_timeout = '0s'\n\
                [findings]\nclose_after = '2d'\nn_plus_one.min_repeats = 1_0\n\
                [findings.missing_index]\nenabled = false\n[log]\nformat = 'json'\nlevel = 'warn'\n";
    let settings = load(&[], &[], Some(file)).unwrap();
    assert_eq!(settings.proxy.listen.len(), 2);
    assert_eq!(settings.proxy.tcp_keepalive, None);
    assert_eq!(settings.proxy.buffer_bytes, 32_768);
    assert_eq!(settings.proxy.drain_timeout, Duration::ZERO);
    assert_eq!(settings.findings.close_after, Duration::from_secs(172_800));
    assert_eq!(settings.findings.n_plus_one_min_repeats, 10);
    assert!(!settings.findings.missing_index_enabled);
    assert!(!settings.limits().missing_index.enabled);
    assert!(settings.log.json);
}

#[test]
fn environment_lists_and_the_log_filter() {
    let env = [
        ("PGSONDE_PROXY__UPSTREAM", "postgresql://db"),
        ("PGSONDE_PROXY__LISTEN", "127.0.0.1:1,127.0.0.1:2"),
        ("PGSONDE_FINDINGS__N_PLUS_ONE__MIN_REPEATS", "7"),
        ("PGSONDE_LOG", "pgsonde=trace"),
        ("PGSONDE_UNRELATED", "x"),
    ];
    let settings = load(&[], &env, None).unwrap();
    assert_eq!(settings.proxy.listen.len(), 2);
    assert_eq!(settings.findings.n_plus_one_min_repeats, 7);
    assert_eq!(settings.log.filter.as_deref(), Some("pgsonde=trace"));
}

#[test]
fn refuses_bad_files() {
    let rows = [
        ("[profile]\nmax_digest = 5000\n", 201),
        ("[prxy]\nlisten = ''\n", 201),
        ("listen = '127.0.0.1:1'\n", 201),
        ("[proxy]\nconnect_timeout = 10\n", 203),
        ("[proxy]\nconnect_timeout = '10'\n", 203),
        ("[proxy]\nbuffer = 16384\n", 203),
        ("[proxy]\nconnect_timeout = '6m'\n", 204),
        ("[proxy]\ntcp_keepalive = '1s'\n", 204),
        ("[proxy]\nbuffer = '1KiB'\n", 204),
        ("[proxy]\nmax_connections = 0\n", 204),
        ("[proxy]\nmax_connections = -5\n", 204),
        ("[proxy]\nmax_connections = 99999999999999999999\n", 204),
        ("[proxy]\nlisten = []\n", 204),
        ("[proxy]\nlisten = 'nowhere'\n", 204),
        ("[proxy]\nupstream = 'mysql://db'\n", 204),
        ("[proxy]\nupstream = 'postgresql://a:hunter2@db'\n", 202),
        ("[proxy]\nupstream = 'postgresql://db?sslmode=verify-ca'\n", 204),
        ("[proxy.tls]\ncert = ''\n", 204),
        ("[proxy.tls]\nmin_version = '1.1'\n", 204),
        ("[proxy.tls]\nrelay = 'x'\n", 204),
        ("[log]\nlevel = 'loud'\n", 204),
        ("[log]\nlevel = 3\n", 207),
        ("[proxy]\nmax_connections = 1.5\n", 207),
        ("[proxy]\nmax_connections = 0x10\n", 207),
        ("[proxy]\nlisten = [1]\n", 207),
        ("[findings.missing_index]\nenabled = 'perhaps'\n", 204),
        ("[findings.missing_index]\nenabled = 1\n", 207),
        ("proxy = 1\n", 207),
        ("[proxy]\nlisten.x = 1\n", 207),
        ("[proxy\n", 205),
        ("[proxy]\nbuffer = '4KiB'\nbuffer = '4KiB'\n", 205),
        ("[admin]\nlisten = '0.0.0.0:9635'\n", 708),
        ("[admin]\ntoken = '0123456789abcdef'\n", 202),
        ("[admin]\nallowed_hosts = ['a b']\n", 204),
        ("[profile]\nmode = 'off'\n", 204),
        ("[findings.transactions]\nidle_warning = '20s'\n", 208),
        ("[proxy.tls]\nrequired = true\n[proxy]\nupstream = 'postgresql://db'\n", 208),
        ("[log]\nlevel = 'info'\n", 206),
    ];
    for (text, code) in rows {
        let problem = load(&[], &[], Some(text)).unwrap_err();
        assert_eq!(problem.number(), code, "{text}: {}", problem.to_text());
        assert_eq!(problem.exit_code(), 2, "{text}");
        assert!(!problem.to_text().contains("hunter2"), "{}", problem.to_text());
        let placed = code == 206 || problem.to_text().contains("pgsonde.toml:");
        assert!(placed, "the place is named: {}", problem.to_text());
    }
}

#[test]
fn refuses_bad_flags_and_variables() {
    let rows: [(&str, &str, u16); 6] = [
        ("PGSONDE_PROXY__LISEN", "127.0.0.1:1", 201),
        ("PGSONDE_NOTHING__HERE", "1", 201),
        ("PGSONDE_PROXY__CONNECT_TIMEOUT", "10", 203),
        ("PGSONDE_PROXY__MAX_CONNECTIONS", "many", 204),
        ("PGSONDE_PROXY__UPSTREAM", "postgresql://a:hunter2@db", 202),
        ("PGSONDE_ADMIN__LISTEN", "db.internal:9635", 708),
    ];
    for (variable, text, code) in rows {
        let problem = load(&[UPSTREAM], &[(variable, text)], None).unwrap_err();
        assert_eq!(problem.number(), code, "{variable}: {}", problem.to_text());
        assert!(!problem.to_text().contains("hunter2"));
    }
    let problem = load(&[UPSTREAM, ("proxy.listen", "--listen", "6435")], &[], None).unwrap_err();
    assert_eq!(
        problem.what(),
        "`proxy.listen` (--listen): `6435`: the port is missing (`host:port`)"
    );
}

#[test]
fn an_unknown_key_shows_its_line_and_the_nearest_name() {
    let problem = load(&[UPSTREAM], &[], Some("[profile]\nmax_digest = 5000\n")).unwrap_err();
    assert_eq!(
        problem.to_text(),
        "error[PGS0201]: unknown key `max_digest` in [profile]\n\
         \x20 ╭─[pgsonde.toml:2:1]\n\
         2 │ max_digest = 5000\n\
         \x20 · ─────┬──── did you mean `max_digests`?\n"
    );
}

#[test]
fn a_file_is_checked_even_where_a_flag_overrides_it() {
    let flags = [UPSTREAM, ("proxy.listen", "--listen", "127.0.0.1:1")];
    assert_eq!(load(&flags, &[], Some("[proxy]\nlisten = 'x'\n")).unwrap_err().number(), 204);
}

#[test]
fn an_open_admin_listener_needs_a_token_or_no_api() {
    let rows = [
        ("token = 'env:X'", true),
        ("api = false", true),
        ("api = true", false),
        ("allowed_hosts = ['pgsonde.internal']", false),
    ];
    for (keys, good) in rows {
        let text = format!("[admin]\nlisten = '0.0.0.0:9635'\n{keys}\n");
        let code = load(&[UPSTREAM], &[], Some(&text)).err().map(|problem| problem.number());
        assert_eq!(code, (!good).then_some(708), "{keys}");
    }
}

#[test]
fn a_missing_named_file_is_refused() {
    let flags =
        Flags { config: Some(PathBuf::from("/nonexistent/pgsonde.toml")), values: Vec::new() };
    let problem = Settings::load(&flags).unwrap_err();
    assert_eq!((problem.number(), problem.exit_code()), (205, 2));
}

#[test]
fn keys_of_tls_belong_together() {
    let rows = [
        ("cert = 'c'", false),
        ("key = 'k'", false),
        ("required = true", false),
        ("client_ca = 'r'", false),
        ("auth = 'same-certificate'", false),
        ("cert = 'c'\nkey = 'k'\nrelay = true", false),
        ("relay = true", true),
        ("cert = 'c'\nkey = 'k'\nclient_ca = 'r'\nrequired = true\nmin_version = '1.3'", true),
        ("cert = 'c'\nkey = 'k'\nauth = 'same-certificate'", true),
    ];
    for (keys, good) in rows {
        let outcome = load(&[UPSTREAM], &[], Some(&format!("[proxy.tls]\n{keys}\n")));
        assert_eq!(outcome.err().map(|problem| problem.number()), (!good).then_some(208), "{keys}");
    }
}
