//! The image's own last stage, built by buildah and run as its own user; the chart, rendered by helm. The earlier
//! stages need images from a registry, so what they make (the binary) is handed in, and the base is put together of
//! the packages that the real one is made of.

use pgsonde_tests::{Output, Postgres, Proxy, paths, run, run_ok};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Base (18 MB), the stripped program, licences. A budget, so that nothing sneaks in.
const IMAGE_BYTES_MAX: u64 = 60_000_000;

/// What `gcr.io/distroless/cc` is made of, as far as the program can tell.
const BASE_PACKAGES: [&str; 4] = ["libc6", "libgcc-s1", "ca-certificates", "tzdata"];

/// A store for images of this test alone.
struct Images {
    folder: tempfile::TempDir,
}

impl Images {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self, args: &[&str]) -> Vec<String> {
        let stores = [("--root", "store"), ("--runroot", "run")];
        let stores = stores
            .map(|(flag, name)| [flag.to_owned(), self.path(name).to_string_lossy().into_owned()]);
        let driver = ["--storage-driver".to_owned(), "vfs".to_owned()];
        let rest = args.iter().map(|arg| (*arg).to_owned());
        stores.into_iter().flatten().chain(driver).chain(rest).collect()
    }

    fn buildah(&self, args: &[&str]) -> Output {
        let mut command = Command::new("buildah");
        command.args(self.arguments(args)).current_dir(paths::workspace());
        command.env("BUILDAH_ISOLATION", "chroot");
        run_ok(&mut command, "", LIMIT)
    }

    /// An image with the files of Debian's packages, and nothing that could run them.
    fn base(&self) {
        let (packages, root) = (self.path("packages"), self.path("root"));
        std::fs::create_dir_all(&packages).expect("a folder");
        let mut download = Command::new("apt-get");
        run_ok(download.arg("download").args(BASE_PACKAGES).current_dir(&packages), "", LIMIT);
        for file in std::fs::read_dir(&packages).expect("packages").flatten() {
            run_ok(Command::new("dpkg").arg("-x").args([&file.path(), &root]), "", LIMIT);
        }
        let container = self.buildah(&["from", "scratch"]).stdout;
        let container = container.trim();
        self.buildah(&["add", "-q", container, &root.to_string_lossy(), "/"]);
        self.buildah(&["commit", "-q", container, "localhost/base"]);
    }

    /// `deploy/Dockerfile`, with the stage `build` replaced by the program of this test run.
    fn image(&self) {
        let stage = self.path("stage/src/target/release");
        std::fs::create_dir_all(&stage).expect("a folder");
        let mut strip = Command::new("strip");
        run_ok(strip.arg("-o").args([&stage.join("pgsonde"), &paths::pgsonde()]), "", LIMIT);
        let context = format!("build={}", self.path("stage").display());
        let (dockerfile, base) = ("deploy/Dockerfile", "BASE=localhost/base");
        let args = ["build", "-q", "--format", "docker", "--build-context", &context];
        let more = ["--build-arg", base, "-f", dockerfile, "-t", "pgsonde", "."];
        self.buildah(&[&args[..], &more[..]].concat());
    }

    fn inspect(&self) -> Value {
        let text = self.buildah(&["inspect", "--type", "image", "localhost/pgsonde"]).stdout;
        serde_json::from_str(&text).expect("JSON")
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let total = run_ok(Command::new("du").arg("-sb").arg(folder), "", LIMIT).stdout;
    total.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn the_image_is_built_and_serves_as_its_own_user() {
    if !is_root() || !may_mount() {
        // Its own user is one of several, which an unprivileged buildah has only where /etc/subuid says so.
        eprintln!("skipped: the image is built and run by a root that may mount");
        return;
    }
    let images = Images::new();
    images.base();
    images.image();
    let about = images.inspect();
    let config = &about["Docker"]["config"];
    assert_eq!(config["User"], "65532:65532", "{config}");
    assert_eq!(config["Entrypoint"][0], "/usr/bin/pgsonde");
    assert_eq!(config["Healthcheck"]["Test"][1], "/usr/bin/pgsonde");
    let container = images.buildah(&["from", "localhost/pgsonde"]).stdout;
    let container = container.trim().to_owned();
    let root = images.buildah(&["mount", &container]).stdout;
    let bytes = bytes_below(Path::new(root.trim()));
    assert!(bytes < IMAGE_BYTES_MAX, "{bytes} bytes");
    let shell = Path::new(root.trim()).join("bin/sh");
    assert!(!shell.exists(), "there is a shell to break into");

    let postgres = Postgres::start();
    let upstream = postgres.upstream();
    let args = ["run", "--isolation", "chroot", &container, "--", "/usr/bin/pgsonde", "proxy"];
    let more = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", &upstream];
    let all = images.arguments(&[&args[..], &more[..]].concat());
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let proxy = Proxy::started(Path::new("/usr/bin/buildah"), &all);
    assert_eq!(postgres.psql_ok(proxy.port(), "SELECT 6 * 7").trim(), "42");
    proxy.settle();
    assert_eq!(proxy.calls_and_errors("SELECT"), (1, 0));
    let id = process_listening_at(proxy.port());
    assert_eq!(user_of(&id), "65532", "the user of the image, not the one who started it");
    // An engine sends the container's first process its signal; buildah doesn't pass on its own.
    pgsonde_tests::signal("TERM", &id);
    proxy.await_line(&["draining"]);
    let gone = || (!Path::new(&format!("/proc/{id}")).exists()).then_some(());
    pgsonde_tests::eventually("it ends", LIMIT, gone);
}

fn is_root() -> bool {
    run_ok(Command::new("id").arg("-u"), "", LIMIT).stdout.trim() == "0"
}

/// Inside of many containers root may not.
fn may_mount() -> bool {
    run(Command::new("unshare").args(["--mount", "true"]), "", LIMIT).is_ok()
}

fn process_listening_at(port: u16) -> String {
    let filter = format!("sport = :{port}");
    let text = run_ok(Command::new("ss").args(["-Htlnp", &filter]), "", LIMIT).stdout;
    let id = text.split("pid=").nth(1).and_then(|rest| rest.split(',').next());
    id.unwrap_or_else(|| panic!("nobody listens: {text}")).to_owned()
}

fn user_of(process: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("a user");
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

/// The chart, rendered, as kubernetes-validate likes it; the documents by kind.
fn rendered(settings: &[&str]) -> Vec<Value> {
    let chart = paths::workspace().join("deploy/helm/pgsonde");
    let mut helm = Command::new(paths::target().join("venv/bin/helm"));
    helm.args(["template", "shop", "--kube-version", "1.31"]).arg(&chart);
    for setting in settings {
        helm.args(["--set", setting]);
    }
    let text = run_ok(&mut helm, "", LIMIT).stdout;
    let program = "import json, sys, yaml, kubernetes_validate\n\
        documents = [document for document in yaml.safe_load_all(sys.stdin) if document]\n\
        for document in documents:\n    \
            if document['kind'] != 'PodMonitor':\n        \
                kubernetes_validate.validate(document, '1.31', strict=True)\n\
        print(json.dumps(documents))";
    let output = run_ok(Command::new(paths::python()).args(["-c", program]), &text, LIMIT);
    serde_json::from_str(&output.stdout).expect("JSON")
}

fn kinds(documents: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = documents.iter().filter_map(|one| one["kind"].as_str()).collect();
    kinds.sort_unstable();
    kinds
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

/// The program accepts the configuration that the chart would give it.
fn check_configuration(documents: &[Value]) {
    let text = of_kind(documents, "ConfigMap")["data"]["pgsonde.toml"].as_str().expect("TOML");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("pgsonde.toml");
    std::fs::write(&file, text).expect("written");
    let mut check = Command::new(paths::pgsonde());
    check.arg("--config").arg(&file).args(["config", "check"]).env("PGSONDE_TOKEN", "x".repeat(32));
    run_ok(&mut check, "", LIMIT);
}

#[test]
fn the_chart_renders_what_kubernetes_and_the_program_accept() {
    let helm = paths::target().join("venv/bin/helm");
    let chart = paths::workspace().join("deploy/helm/pgsonde");
    run_ok(Command::new(&helm).args(["lint", "--strict"]).arg(&chart), "", LIMIT);

    let gateway = rendered(&[]);
    assert_eq!(kinds(&gateway), ["ConfigMap", "Deployment", "Service"]);
    check_configuration(&gateway);
    let deployment = of_kind(&gateway, "Deployment");
    let pod = &deployment["spec"]["template"];
    let labels = pod["metadata"]["labels"].as_object().expect("labels");
    for selector in [
        &deployment["spec"]["selector"]["matchLabels"],
        &of_kind(&gateway, "Service")["spec"]["selector"],
    ] {
        let wanted = selector.as_object().expect("a selector");
        assert!(wanted.iter().all(|(name, value)| labels.get(name) == Some(value)), "{selector}");
    }
    let container = &pod["spec"]["containers"][0];
    let volume = &pod["spec"]["volumes"][0]["configMap"]["name"];
    assert_eq!(volume, &of_kind(&gateway, "ConfigMap")["metadata"]["name"]);
    assert!(container["env"].is_null(), "no token, no environment");
    assert_eq!(container["resources"]["limits"]["memory"], "512Mi");

    let with_token = rendered(&["adminTokenSecret=pages", "podMonitor=true"]);
    assert_eq!(kinds(&with_token), ["ConfigMap", "Deployment", "PodMonitor", "Service"]);
    check_configuration(&with_token);
    let container =
        &of_kind(&with_token, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["env"][0]["valueFrom"]["secretKeyRef"]["name"], "pages");
    let monitor = of_kind(&with_token, "PodMonitor");
    let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    assert!(
        container["ports"].as_array().is_some_and(|all| all.iter().any(|one| &one["name"] == port))
    );
    let change = |documents: &[Value]| {
        of_kind(documents, "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"].clone()
    };
    assert_ne!(change(&gateway), change(&with_token), "another configuration, other pods");

    let sidecar = rendered(&["mode=sidecar"]);
    assert_eq!(kinds(&sidecar), ["ConfigMap"]);
    check_configuration(&sidecar);

    let refused = Command::new(&helm)
        .args(["template", "shop"])
        .arg(&chart)
        .args(["--set", "mode=x"])
        .output();
    assert!(!refused.expect("helm runs").status.success(), "a mode that isn't there");
}
