//! Unmodified clients of RabbitMQ, on this machine, against brokers of the cluster.

use std::env;

use crate::world::World;

#[path = "../clients/programs.rs"]
mod programs;

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn unmodified_clients_of_rabbitmq_use_every_broker_of_a_cluster() {
    if !crate::faults::possible() && env::var_os("FERRYMQ_PODS_REACHABLE").is_none() {
        println!("left out: pods of this cluster are not known to be reachable from here (FERRYMQ_PODS_REACHABLE)");
        return;
    }
    let world = World::with_cluster("clients").await;
    let brokers = world.brokers().await;
    for (broker, number) in brokers.iter().zip(1..) {
        let uri = broker.uri.as_str();
        println!("measured: {} of {} brokers: pika's hello and services, Java's invoices", number, brokers.len());
        for program in ["hello", "services"] {
            passes(&broker.pod, programs::python(program, &[uri]));
        }
        passes(&broker.pod, programs::java("shop.Invoices", &[uri]));
    }
}

fn passes(broker: &str, outcome: Result<String, String>) {
    if let Err(printed) = outcome {
        panic!("against {broker}: {printed}");
    }
}
