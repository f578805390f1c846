//! Moves from a real RabbitMQ, one node of it, to `ferrymq dev`: `tests/import`.

use super::{tally::Tally, target};
use crate::image::binary;
use crate::peer::{RABBITMQ_ALONE, RABBITMQ_ALONE_MANAGEMENT};
use crate::project::Project;

pub(super) fn run(project: &Project, name: Option<&str>, tally: &mut Tally) -> anyhow::Result<()> {
    let binary = binary::build(project)?;
    RABBITMQ_ALONE.prepare(project)?;
    // Ends when it is dropped, after the tests.
    let rabbit = RABBITMQ_ALONE.start(project)?;
    println!("test: {} at {}", rabbit.version, RABBITMQ_ALONE.uris.join(","));
    let mut tests = target(project, "import");
    tests.args(["--test-threads", "1", "--nocapture"]).args(name);
    tests.env("FERRYMQ_RABBITMQ", RABBITMQ_ALONE.uris.join(","));
    tests.env("FERRYMQ_RABBITMQ_MANAGEMENT", RABBITMQ_ALONE_MANAGEMENT);
    tally.run(tests.env("FERRYMQ_BIN", binary))
}
