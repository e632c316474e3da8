//! A real Apache Kafka of one node on free ports of this machine, where it was fetched: TLS and SASL by OAUTHBEARER, PLAIN and SCRAM.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::Identity;

const PATIENCE: Duration = Duration::from_secs(120);
const HOW: &str =
    "`cargo xtask tools --all` fetches it from Maven Central; it needs Java 17 with its compiler";
const VALIDATOR: &str = include_str!("TokenFile.java");
/// For PLAIN and SCRAM.
const USER: &str = "ada";
const PASSWORD: &str = "lovelace";

pub struct ApacheKafka {
    pub identity: Identity,
    address: SocketAddr,
    process: Child,
}

impl ApacheKafka {
    /// `ada` with the password `lovelace` may log in, and whoever has the access token that [`Self::take_token`] names, each for three
    /// seconds at a time. `None`, loudly, where Kafka or Java is missing.
    ///
    /// # Panics
    /// When they are there, but it does not come up.
    pub async fn start() -> Option<ApacheKafka> {
        let libs = libs().filter(|_| has("java") && has("javac"));
        let Some(libs) = libs else {
            crate::skip("no Apache Kafka", HOW);
            return None;
        };
        let identity = Identity::new();
        let ports = [free_port().await, free_port().await, free_port().await];
        let folder = identity.folder().to_path_buf();
        let process = tokio::task::spawn_blocking(move || start(&folder, &libs, ports)).await;
        let process = process.expect("Apache Kafka is prepared");
        let mut kafka =
            ApacheKafka { identity, address: SocketAddr::from(([127, 0, 0, 1], ports[0])), process };
        kafka.take_token("none yet");
        kafka.wait().await;
        Some(kafka)
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this access token is good, and no other.
    ///
    /// # Panics
    /// When the temp folder is gone.
    pub fn take_token(&self, token: &str) {
        let (half, file) = (self.identity.folder().join("token.new"), self.identity.folder().join("token"));
        std::fs::write(&half, token).expect("a temp folder");
        std::fs::rename(half, file).expect("a temp folder");
    }

    async fn wait(&mut self) {
        let log = self.identity.folder().join("log");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let started = tokio::time::timeout(PATIENCE, async {
            while !said().contains("Kafka Server started") {
                if let Ok(Some(status)) = self.process.try_wait() {
                    panic!("Apache Kafka ended with {status}:\n{}", said());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        assert!(started.await.is_ok(), "Apache Kafka does not come up:\n{}", said());
    }
}

impl Drop for ApacheKafka {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn libs() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let cache = set("STREAMIFY_CACHE").or_else(|| cache().map(|cache| cache.join("streamify")))?;
    Some(cache.join("apache-kafka/libs")).filter(|folder| folder.is_dir())
}

fn has(program: &str) -> bool {
    Command::new(program).arg("-version").output().is_ok_and(|output| output.status.success())
}

fn start(folder: &Path, libs: &Path, ports: [u16; 3]) -> Child {
    let class_path = format!("{}/*:{}", libs.display(), folder.display());
    let source = folder.join("TokenFile.java");
    std::fs::write(&source, VALIDATOR).expect("a temp folder");
    run(Command::new("javac").args(["-cp", &class_path, "-d"]).arg(folder).arg(source));
    let properties = folder.join("server.properties");
    std::fs::write(&properties, settings(folder, ports)).expect("a temp folder");
    let mut format = Command::new("java");
    format.args([
        "-cp",
        &class_path,
        "kafka.tools.StorageTool",
        "format",
        "-t",
        "5L6g3nShT-eMCtK--X86sw",
        "-c",
    ]);
    format.arg(&properties);
    for name in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        format.args(["--add-scram", &format!("{name}=[name={USER},password={PASSWORD}]")]);
    }
    run(&mut format);
    let log = format!("-Dorg.slf4j.simpleLogger.logFile={}", folder.join("log").display());
    let mut kafka = Command::new("java");
    kafka.args(["-Xmx384m", "-cp", &class_path, &log, "kafka.Kafka"]).arg(properties);
    kafka.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("java is there")
}

fn run(command: &mut Command) {
    let output = command.output().expect("java is there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn settings(folder: &Path, [guarded, inside, controller]: [u16; 3]) -> String {
    let folder = folder.display();
    format!(
        r#"process.roles=broker,controller
node.id=1
listeners=GUARDED://127.0.0.1:{guarded},INSIDE://127.0.0.1:{inside},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=GUARDED://127.0.0.1:{guarded},INSIDE://127.0.0.1:{inside}
controller.listener.names=CONTROLLER
inter.broker.listener.name=INSIDE
listener.security.protocol.map=GUARDED:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
sasl.enabled.mechanisms=OAUTHBEARER,PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
connections.max.reauth.ms=3000
listener.name.guarded.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";
listener.name.guarded.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.guarded.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.guarded.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="kafka" file="{folder}/token";
listener.name.guarded.oauthbearer.sasl.server.callback.handler.class=TokenFile
"#
    )
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}
