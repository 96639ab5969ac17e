//! Another broker than Mosquitto: the MQTT side of NATS, with everything that is to arrive kept by its `JetStream`.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;
use tempfile::TempDir;

use super::{
    cloud::Cloud,
    work::{Work, showroom},
};
use crate::{
    support::{free_port, wait_for},
    world::World,
};

struct Nats {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Nats {
    fn start() -> Self {
        let (dir, port) = (TempDir::new().expect("a directory"), free_port());
        let text = format!(
            "server_name: test\nlisten: \"127.0.0.1:{}\"\nmax_payload: 8MB\njetstream {{ store_dir: \"{}\" }}\n\
             mqtt {{ listen: \"127.0.0.1:{port}\" }}\n",
            free_port(),
            dir.path().join("js").display()
        );
        fs::write(dir.path().join("nats.conf"), text).expect("written");
        let child = Self::spawn(&dir, port);
        Self { child, port, dir }
    }

    fn spawn(dir: &TempDir, port: u16) -> Child {
        let program = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"];
        let program = program.into_iter().find(|path| Path::new(path).exists()).expect("nats-server; see `make deps`");
        let mut command = Command::new(program);
        let child =
            command.arg("-c").arg(dir.path().join("nats.conf")).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        wait_for("NATS", || TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).ok());
        child.expect("nats-server starts")
    }

    fn restart(&mut self) {
        self.stop();
        self.child = Self::spawn(&self.dir, self.port);
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn over_nats_everything_is_as_over_mosquitto_and_survives_its_restart() {
    let mut nats = Nats::start();
    let mut showroom = showroom(nats.port, &["cloud"]);
    showroom.start();
    let (mut cloud, mut work) = (Cloud::connect(nats.port, "hel-01", "cloud"), Work::default());
    cloud.zstd = true;
    work.go_on_until(&mut cloud, 20, || true);
    nats.restart();
    work.go_on_until(&mut cloud, 40, || true);
    work.check(&mut cloud);
    // The status is retained, and the last will comes when the box dies.
    let online = World::connect(nats.port, "hel-01").hear("status", |status| status["state"] == "online");
    assert_eq!(online["lanes"]["sales"]["acked"].as_object().map(serde_json::Map::len), Some(1));
    let world = World::connect(nats.port, "hel-01");
    showroom.kill();
    world.hear("status", |status| *status == json!({"state": "offline"}));
}
