//! What is installed: the configuration's schema and sample, dashboards from the binary, container, Kubernetes,
//! systemd and Debian files, and the settings of applications. `container.rs` builds the image and renders the chart.

use pgsonde_tests::{Output, Postgres, Proxy, eventually, paths, prometheus, run, run_ok};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

fn deploy(name: &str) -> PathBuf {
    paths::workspace().join("deploy").join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pgsonde(args: &[&str]) -> Output {
    run(Command::new(paths::pgsonde()).args(args).current_dir("/"), "", LIMIT)
}

/// Runs Python of the virtual environment; what it prints is JSON.
fn python(program: &str, args: &[&str]) -> Value {
    let mut command = Command::new(paths::python());
    let output = run_ok(command.args(["-c", program]).args(args), "", LIMIT);
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn is_installed(tool: &str) -> bool {
    let found = run(Command::new("sh").args(["-c", &format!("command -v {tool}")]), "", LIMIT);
    if !found.is_ok() {
        eprintln!("skipped: {tool} is not installed");
    }
    found.is_ok()
}

/// A YAML file with all its documents, as JSON.
fn yaml(text: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file.yaml");
    std::fs::write(&file, text).expect("written");
    let program =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let all = python(program, &[&file.to_string_lossy()]);
    all.as_array().cloned().unwrap_or_default()
}

#[test]
fn the_schema_accepts_what_is_good_and_rejects_what_is_not() {
    let program = r#"
import json, subprocess, sys, tomllib
from jsonschema import Draft202012Validator
schema = json.loads(subprocess.run([sys.argv[1], "config", "schema"], capture_output=True, check=True).stdout)
Draft202012Validator.check_schema(schema)
valid = Draft202012Validator(schema).is_valid
print(json.dumps([valid(tomllib.loads(text)) for text in json.loads(sys.argv[2])]))
"#;
    let sample = read(&deploy("pgsonde.example.toml"));
    let uncommented: String = sample
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let rows = [
        (sample.as_str(), true),
        (uncommented.as_str(), true),
        ("", true),
        ("[proxy]\nlisten = ['127.0.0.1:1', 'systemd']\n", true),
        ("[proxy]\nmax_connection = 5\n", false),
        ("[proxi]\nlisten = '127.0.0.1:1'\n", false),
        ("[proxy]\nconnect_timeout = 10\n", false),
        ("[proxy]\nconnect_timeout = '10'\n", false),
        ("[proxy]\nmax_connections = '10'\n", false),
        ("[proxy]\nmax_connections = 0\n", false),
        ("[proxy]\nupstream = 'mysql://db'\n", false),
        ("[proxy.tls]\ncert = 'c.pem'\n", false),
        ("[log]\nlevel = 'loud'\n", false),
        ("[admin]\ntoken = '0123456789abcdef'\n", false),
        ("[findings]\ndisable = ['n_plus_two']\n", false),
        ("[findings.results]\ncolumn_share = 60\n", false),
    ];
    let texts: Vec<&str> = rows.iter().map(|(text, _)| *text).collect();
    let texts = serde_json::to_string(&texts).expect("JSON");
    let answers = python(program, &[&paths::pgsonde().to_string_lossy(), &texts]);
    for (at, (text, good)) in rows.iter().enumerate() {
        assert_eq!(answers[at], *good, "{text}");
    }
}

#[test]
fn config_says_what_is_in_force_and_where_it_comes_from() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("pgsonde.toml");
    let secret = "correct-horse-battery-staple";
    let text = "[proxy]\nupstream = 'postgresql://db'\nmax_connections = 5\n[admin]\ntoken = 'env:SECRET'\n";
    std::fs::write(&file, text).expect("written");
    let mut command = Command::new(paths::pgsonde());
    command.args(["--config", &file.to_string_lossy(), "config", "show", "--origin"]);
    command.env("PGSONDE_PROXY__DRAIN_TIMEOUT", "9s").env("SECRET", secret);
    let shown = run_ok(&mut command, "", LIMIT).stdout;
    let place = format!("# {}:3", file.display());
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    assert!(line("proxy.max_connections = 5 ").ends_with(&place), "{shown}");
    assert!(
        line("proxy.drain_timeout = \"9s\"").ends_with("environment PGSONDE_PROXY__DRAIN_TIMEOUT")
    );
    assert!(line("proxy.connect_timeout = \"10s\"").ends_with("# default"), "{shown}");
    assert!(line("admin.token = \"•••\"").contains(":5") && !shown.contains(secret), "{shown}");

    let file_text = file.to_string_lossy();
    let check = |text: &str| {
        std::fs::write(&file, text).expect("written");
        pgsonde(&["--config", &file_text, "config", "check"])
    };
    assert!(check("[proxy]\nupstream = 'postgresql://db'\n").stdout.contains("is fine"));
    for (text, words) in [
        ("[proxy]\nupstraem = 'postgresql://db'\n", ["PGS0201", "pgsonde.toml:2:1", "upstream"]),
        ("[proxy]\nconnect_timeout = 10\n", ["PGS0203", "pgsonde.toml:2:19", "10s"]),
        ("[proxy]\nlisten = 3\n", ["PGS0207", "pgsonde.toml:2:10", "address"]),
        (
            "[proxy]\nupstream = 'postgresql://db'\n[proxy.tls]\nrequired = true\n",
            ["PGS0208", "pgsonde.toml:4:12", "proxy.tls.cert"],
        ),
        (
            "[proxy]\nupstream = 'postgresql://db'\n[proxy.tls]\ncert = '/none/c'\nkey = '/none/k'\n",
            ["PGS0407", "pgsonde.toml:4:8", "/none/c"],
        ),
        ("[admin]\nlisten = '0.0.0.0:9635'\n", ["PGS0708", "pgsonde.toml:2:10", "admin.token"]),
    ] {
        let output = check(text);
        assert_eq!(output.code, Some(2), "{text}: {output:?}");
        for word in words {
            assert!(output.stderr.contains(word), "{text}: no {word} in {}", output.stderr);
        }
    }
}

#[test]
fn dashboards_and_rules_come_out_of_the_binary_ready_for_use() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("monitoring");
    let shown = out.to_string_lossy();
    let runbooks = "https://wiki.example/pgsonde/";
    let args =
        ["dashboards", &shown, "--report-url", "https://p.example", "--runbook-url", runbooks];
    assert!(pgsonde(&args).is_ok());
    for name in ["overview", "statements", "routes", "transactions", "findings", "self"] {
        let text = read(&out.join(format!("grafana/pgsonde-{name}.json")));
        let json: Value = serde_json::from_str(&text).expect("JSON");
        let report = json["templating"]["list"].as_array().into_iter().flatten();
        let report = report.into_iter().find(|variable| variable["name"] == "report_url");
        assert_eq!(report.map(|variable| &variable["query"]), Some(&"https://p.example".into()));
    }
    let alerts = read(&out.join("prometheus/alerts.yml"));
    assert!(
        alerts.contains("runbook_url: https://wiki.example/pgsonde/PgsondeDown.md"),
        "{alerts}"
    );
    let manifest = yaml(&read(&out.join("prometheus/prometheusrule.yml")));
    let groups =
        |documents: &[Value]| documents[0]["groups"].as_array().cloned().unwrap_or_default();
    let mut both = groups(&yaml(&read(&out.join("prometheus/rules.yml"))));
    both.extend(groups(&yaml(&alerts)));
    assert_eq!(
        manifest[0]["spec"]["groups"],
        Value::Array(both),
        "the manifest has the same groups"
    );
    let provisioning = out.join("grafana/provisioning");
    assert_eq!(yaml(&read(&provisioning.join("datasources/pgsonde.yml")))[0]["apiVersion"], 1);
    if prometheus::is_installed() {
        let check = |args: &[&str]| {
            run_ok(
                Command::new("promtool").args(args).current_dir(out.join("prometheus")),
                "",
                LIMIT,
            )
        };
        check(&["check", "rules", "rules.yml", "alerts.yml"]);
        check(&["check", "config", "scrape.yml"]);
    }
    assert!(pgsonde(&args).is_ok(), "the same again changes nothing");
    std::fs::write(out.join("prometheus/rules.yml"), "ours").expect("written");
    let refused = pgsonde(&args);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("PGS0106") && refused.stderr.contains("--force"),
        "{refused:?}"
    );
    assert_eq!(read(&out.join("prometheus/rules.yml")), "ours");
    let forced: Vec<&str> = args.into_iter().chain(["--force"]).collect();
    assert!(pgsonde(&forced).is_ok());
}

#[test]
fn every_code_shell_and_page_is_there() {
    let codes = pgsonde(&["explain-error"]).stdout;
    assert!(codes.lines().count() > 30, "{codes}");
    assert!(pgsonde(&["explain-error", "PGS0405"]).stdout.contains("sslmode=require"));
    assert_eq!(pgsonde(&["explain-error", "PGS9999"]).code, Some(2));
    for (shell, flag) in [("bash", "--upstream"), ("zsh", "--upstream"), ("fish", "-l upstream")] {
        let text = pgsonde(&["completions", shell]).stdout;
        assert!(text.contains("explain-error") && text.contains(flag), "{shell}");
    }
    let page = pgsonde(&["man"]).stdout;
    for word in [".TH pgsonde 1", "PGSONDE PROXY", "PGSONDE CONFIG", "upstream"] {
        assert!(page.contains(word), "no {word} in the manual page");
    }
}

#[test]
fn the_image_is_small_unprivileged_and_made_of_what_is_there() {
    let text = read(&deploy("Dockerfile"));
    let stages: Vec<&str> = text.split("\nFROM ").collect();
    let last = stages.last().expect("a stage");
    assert!(!last.contains("\nRUN "), "the last stage has no shell to run anything with");
    let user = last.lines().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
    assert!(last.contains("\nEXPOSE 6435 9635"), "the default ports");
    assert!(last.contains(r#""doctor", "--ready""#) && last.contains("HEALTHCHECK"));
    assert!(!text.contains(":latest"), "{text}");
    assert!(text.contains("cargo build --release --locked -p pgsonde") && text.contains("npm ci"));
    let copies = text.lines().filter_map(|line| line.strip_prefix("COPY "));
    for copy in copies.filter(|copy| !copy.starts_with("--from")) {
        let words: Vec<&str> = copy.split_whitespace().collect();
        for source in &words[..words.len() - 1] {
            assert!(
                paths::workspace().join(source).exists(),
                "{source} is copied, but isn't there"
            );
        }
    }
    let toolchain = read(&paths::workspace().join("Cargo.toml"));
    let least =
        toolchain.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("MSRV");
    let used =
        text.split("rust:").nth(1).and_then(|rest| rest.split('-').next()).expect("a version");
    let minor = |version: &str| {
        version.trim_matches('"').split('.').nth(1).and_then(|n| n.parse::<u32>().ok())
    };
    assert!(minor(used) >= minor(least), "{used} is older than {least}");
}

#[test]
fn compose_mounts_what_is_there_and_publishes_on_this_machine_alone() {
    let document = yaml(&read(&deploy("compose.yml"))).remove(0);
    let services = document["services"].as_object().expect("services");
    let keys = pgsonde(&["config", "init"]).stdout;
    for (name, service) in services {
        let image = service["image"].as_str().unwrap_or_default();
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        assert!(tag.contains('.') && tag != "latest", "{name}: {image} is not pinned");
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().and_then(|text| text.split(':').next()).expect("a path");
            assert!(deploy(source).exists(), "{name}: {source} is mounted, but isn't there");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(
                port.as_str().is_some_and(|port| port.starts_with("127.0.0.1:")),
                "{name}: {port}"
            );
        }
        for variable in service["environment"].as_object().into_iter().flat_map(|map| map.keys()) {
            if let Some(key) = variable.strip_prefix("PGSONDE_") {
                let last = key.rsplit("__").next().unwrap_or_default().to_lowercase();
                let line = |line: &str| line.contains(&format!("{last} ="));
                assert!(keys.lines().any(line), "{name}: {variable} is no key");
            }
        }
    }
    let environment = &services["pgsonde"]["environment"];
    let mut check = Command::new(paths::pgsonde());
    check.args(["config", "check"]).current_dir("/");
    for (name, value) in environment.as_object().into_iter().flatten() {
        check.env(name, value.as_str().unwrap_or_default());
    }
    run_ok(&mut check, "", LIMIT);
    if prometheus::is_installed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mounts = services["prometheus"]["volumes"].as_array().expect("mounts");
        for mount in mounts.iter().filter_map(Value::as_str) {
            let source = deploy(mount.split(':').next().unwrap_or_default());
            let name = source.file_name().expect("a file");
            std::fs::copy(&source, folder.path().join(name)).expect("copied");
        }
        let args = ["check", "config", "prometheus.yml"];
        run_ok(Command::new("promtool").args(args).current_dir(folder.path()), "", LIMIT);
    }
    if is_installed("docker-compose") {
        let file = deploy("compose.yml");
        let args = ["-f", &file.to_string_lossy(), "config", "--quiet"];
        run_ok(Command::new("docker-compose").args(args), "", LIMIT);
    }
}

#[test]
fn the_sidecar_is_valid_restricted_and_configured() {
    let text = read(&deploy("kubernetes/deployment.yaml"));
    let deployment = yaml(&text).remove(0);
    let program = "import json, sys, yaml, kubernetes_validate\n\
        for document in yaml.safe_load_all(open(sys.argv[1])):\n    \
            kubernetes_validate.validate(document, '1.31', strict=True)\n\
        print(json.dumps('valid'))";
    let file = deploy("kubernetes/deployment.yaml");
    assert_eq!(python(program, &[&file.to_string_lossy()]), "valid");
    let pod = &deployment["spec"]["template"]["spec"];
    let sidecar = &pod["initContainers"][0];
    assert_eq!(sidecar["restartPolicy"], "Always", "a native sidecar");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let security = &sidecar["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"]["drop"][0], "ALL");
    let config = deploy("kubernetes/pgsonde.toml");
    let checked = pgsonde(&["--config", &config.to_string_lossy(), "config", "check"]);
    assert!(checked.is_ok(), "{checked:?}");
    let shown = pgsonde(&["--config", &config.to_string_lossy(), "config", "show"]).stdout;
    let value = |key: &str| {
        let line = shown.lines().find(|line| line.starts_with(&format!("{key} = ")));
        line.and_then(|line| line.split(" = ").nth(1))
            .unwrap_or_default()
            .trim_matches('"')
            .to_owned()
    };
    let drain: u64 = value("proxy.drain_timeout").trim_end_matches('s').parse().expect("seconds");
    assert!(pod["terminationGracePeriodSeconds"].as_u64().is_some_and(|grace| grace > drain + 5));
    let port = sidecar["ports"][0]["containerPort"].to_string();
    assert!(value("admin.listen").ends_with(&port));
    let named = &sidecar["ports"][0]["name"];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(&sidecar[probe]["httpGet"]["port"], named, "{probe}");
    }
    let monitor = yaml(&read(&deploy("kubernetes/podmonitor.yaml"))).remove(0);
    assert_eq!(&monitor["spec"]["podMetricsEndpoints"][0]["port"], named);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().expect("labels");
    assert!(wanted.iter().all(|(name, value)| labels[name] == *value));
    if is_installed("kubectl") {
        let base = deploy("kubernetes");
        let built = run_ok(Command::new("kubectl").arg("kustomize").arg(base), "", LIMIT).stdout;
        let kinds: BTreeSet<String> =
            yaml(&built).iter().map(|one| one["kind"].to_string().replace('"', "")).collect();
        let expected = ["ConfigMap", "Deployment", "PodMonitor"].map(str::to_owned);
        assert_eq!(kinds, BTreeSet::from(expected));
    }
}

#[test]
fn the_chart_has_values_that_its_schema_accepts_and_templates_that_use_them() {
    let chart = deploy("helm/pgsonde");
    let values = yaml(&read(&chart.join("values.yaml"))).remove(0);
    let program = "import json, sys, jsonschema\n\
        schema, values = json.load(open(sys.argv[1])), json.loads(sys.argv[2])\n\
        jsonschema.Draft7Validator.check_schema(schema)\n\
        valid = jsonschema.Draft7Validator(schema).is_valid\n\
        print(json.dumps([valid(values), valid({**values, 'mode': 'x'}), valid({**values, 'upstraem': ''}),\n\
            valid({**values, 'upstream': 'postgresql://a:b@db'})]))";
    let schema = chart.join("values.schema.json");
    let answer = python(program, &[&schema.to_string_lossy(), &values.to_string()]);
    assert_eq!(answer, serde_json::json!([true, false, false, false]));
    let mut used = BTreeSet::new();
    for name in ["configmap", "gateway", "podmonitor"] {
        let text = read(&chart.join(format!("templates/{name}.yaml")));
        assert_eq!(text.matches("{{").count(), text.matches("}}").count(), "{name}");
        let opened = ["if ", "range ", "with "].iter().map(|word| {
            text.matches(&format!("{{{{- {word}")).count()
                + text.matches(&format!("{{{{ {word}")).count()
        });
        let closed = text.matches("{{- end }}").count() + text.matches("{{ end }}").count();
        assert_eq!(opened.sum::<usize>(), closed, "{name}");
        let keys = text.split(".Values.").skip(1).filter_map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric()).next().map(str::to_owned)
        });
        used.extend(keys);
    }
    let known: BTreeSet<String> = values.as_object().expect("values").keys().cloned().collect();
    assert_eq!(used, known, "every value is used, and every used value has a default");
}

#[test]
fn the_units_are_valid_and_hardened() {
    if !is_installed("systemd-analyze") {
        return;
    }
    // The binary is where it will be installed: verify looks whether it is there.
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["pgsonde.service", "pgsonde.socket"] {
        let text = read(&deploy("systemd").join(name));
        let text = text.replace("/usr/bin/pgsonde", &paths::pgsonde().to_string_lossy());
        let text = text.replace("Documentation=man:pgsonde(1)\n", "");
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "pgsonde.service", "pgsonde.socket"]).current_dir(folder.path());
    let output = run_ok(&mut verify, "", LIMIT);
    assert!(!output.stderr.contains("pgsonde"), "{}", output.stderr);
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--threshold=15", "pgsonde.service"]);
    run_ok(security.current_dir(folder.path()), "", LIMIT);
}

#[test]
fn both_ways_to_the_package_put_the_same_files_in_place() {
    let script = read(&deploy("deb/build.sh"));
    let manifest = read(&paths::workspace().join("proxy/Cargo.toml"));
    let assets = manifest.split("assets = [").nth(1).and_then(|rest| rest.split("\n]").next());
    for asset in assets.expect("assets").lines().filter(|line| line.contains('[')) {
        let words: Vec<&str> = asset.split('"').skip(1).step_by(2).collect();
        let (source, target) = (words[0], words[1]);
        let name = source.rsplit('/').next().unwrap_or_default();
        let target =
            if target.ends_with('/') { format!("{target}{name}") } else { target.to_owned() };
        assert!(script.contains(&target), "{target} is not in build.sh");
        let there =
            source.starts_with("target/") || paths::workspace().join("proxy").join(source).exists();
        assert!(there, "{source} isn't there");
    }
}

/// Builds, installs, starts, uses and removes the package; as root on Debian.
#[test]
fn the_package_is_installed_used_and_removed() {
    let root = run(Command::new("id").arg("-u"), "", LIMIT).stdout.trim() == "0";
    if !root || !is_installed("dpkg-deb") || Path::new("/usr/bin/pgsonde").exists() {
        eprintln!("skipped: needs root, dpkg, and no pgsonde in /usr/bin");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().to_string_lossy().into_owned();
    let binary = paths::pgsonde();
    let mut build = Command::new(deploy("deb/build.sh"));
    build.env("COMPRESSION", "gzip");
    let package = run_ok(build.arg(&binary).arg(&out), "", LIMIT).stdout.trim().to_owned();
    // Its own database and root: nothing of this machine changes but what the package itself puts into /.
    let _removal = Removal;
    run_ok(Command::new("dpkg").args(["--install", "--force-depends", &package]), "", LIMIT);
    let installed = Path::new("/usr/bin/pgsonde");
    let check =
        run_ok(Command::new(installed).args(["config", "check"]).current_dir("/"), "", LIMIT);
    assert!(check.stdout.contains("/etc/pgsonde/pgsonde.toml is fine"), "{check:?}");
    for path in [
        "/usr/share/man/man1/pgsonde.1.gz",
        "/usr/share/bash-completion/completions/pgsonde",
        "/lib/systemd/system/pgsonde.service",
        "/usr/share/doc/pgsonde/copyright",
    ] {
        assert!(Path::new(path).exists(), "{path}");
    }
    let postgres = Postgres::start();
    let upstream = postgres.upstream();
    let proxy = Proxy::started(
        installed,
        &["proxy", "--upstream", &upstream, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
    );
    assert_eq!(postgres.psql_ok(proxy.port(), "select 41 + 1"), "42");
    eventually("it is counted", LIMIT, || {
        (proxy.metrics().sum("pgsonde_statements_total") >= 1.0).then_some(())
    });
    assert_eq!(proxy.stop(), 0);
    run_ok(Command::new("dpkg").args(["--purge", "pgsonde"]), "", LIMIT);
    for path in ["/usr/bin/pgsonde", "/etc/pgsonde", "/lib/systemd/system/pgsonde.service"] {
        assert!(!Path::new(path).exists(), "{path} is left behind");
    }
}

/// What `make dist` puts together, with the binary at hand: complete, consistent, and it runs from where it is unpacked.
#[test]
fn a_release_holds_all_that_belongs_to_it_and_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().to_string_lossy().into_owned();
    let mut build = Command::new(deploy("dist/build.sh"));
    build.env("COMPRESSION", "gzip");
    let built = run_ok(build.arg(paths::pgsonde()).arg(&out), "", LIMIT).stdout;
    let tarball = built.lines().next().expect("the tarball is named");
    run_ok(Command::new("sha256sum").args(["-c", "SHA256SUMS"]).current_dir(&out), "", LIMIT);
    run_ok(Command::new("tar").args(["-xzf", tarball, "-C", &out]), "", LIMIT);
    let unpacked = PathBuf::from(tarball.strip_suffix(".tar.gz").expect("a .tar.gz"));
    for file in ["man/pgsonde.1", "completions/_pgsonde", "LICENSE-MIT", "systemd/pgsonde.service"]
    {
        assert!(unpacked.join(file).metadata().is_ok_and(|file| file.len() > 500), "{file}");
    }
    let bill: Value = serde_json::from_str(&read(&unpacked.join("sbom.cdx.json"))).expect("JSON");
    let parts = bill["components"].as_array().expect("components");
    let names: Vec<&str> = parts.iter().filter_map(|part| part["purl"].as_str()).collect();
    let licences = read(&unpacked.join("THIRD-PARTY.txt"));
    for name in ["pkg:cargo/tokio@", "pkg:cargo/rustls@", "pkg:npm/preact@", "pkg:npm/uplot@"] {
        let purl = names.iter().find(|purl| purl.starts_with(name));
        let (package, version) =
            purl.and_then(|purl| purl.rsplit('/').next()?.split_once('@')).expect(name);
        assert!(licences.contains(&format!("\n{package} {version} (")), "{package}");
    }
    // What only the tests and the build use is not inside.
    assert!(!names.iter().any(|purl| purl.contains("/tempfile@") || purl.contains("/vite@")));
    assert!(parts.iter().all(|part| part["hashes"][0]["content"].as_str().is_some()));
    let postgres = Postgres::start();
    let upstream = postgres.upstream();
    let args =
        ["proxy", "--upstream", &upstream, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let proxy = Proxy::started(&unpacked.join("pgsonde"), &args);
    assert_eq!(postgres.psql_ok(proxy.port(), "select 41 + 1"), "42");
    let mut report = Command::new(unpacked.join("pgsonde"));
    let report = run_ok(report.args(["report", proxy.admin(), "--format", "html"]), "", LIMIT);
    assert!(report.stdout.contains("<title>") && report.stdout.contains("<script"), "no page");
    assert_eq!(proxy.stop(), 0);
}

/// Removes the package however the test ends.
struct Removal;

impl Drop for Removal {
    fn drop(&mut self) {
        let _done = Command::new("dpkg").args(["--purge", "pgsonde"]).output();
    }
}

#[test]
fn the_settings_of_applications_name_the_default_port() {
    let examples = deploy("examples");
    let mut found = 0;
    for entry in std::fs::read_dir(&examples).expect("the examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            continue;
        }
        found += 1;
        let text = read(&path);
        assert!(text.contains("6435") && text.contains("127.0.0.1"), "{}", path.display());
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("py") => {
                let program = "import ast, sys; ast.parse(open(sys.argv[1]).read()); print('true')";
                python(program, &[&path.to_string_lossy()]);
            }
            Some("yml") => drop(yaml(&text)),
            Some("go") if is_installed("gofmt") => {
                let output = run_ok(Command::new("gofmt").arg("-l").arg(&path), "", LIMIT);
                assert!(output.stdout.is_empty(), "{} is not formatted", path.display());
            }
            _ => {}
        }
    }
    assert_eq!(found, 6);
    let url = "import json, runpy, sys; print(json.dumps(str(runpy.run_path(sys.argv[1])['engine'].url)))";
    let shown = python(url, &[&examples.join("sqlalchemy.py").to_string_lossy()]);
    assert!(shown.as_str().is_some_and(|url| url.contains("@127.0.0.1:6435/")), "{shown}");
}
