//! Pure machines: queues, exchanges and routing
