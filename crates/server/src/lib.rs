// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The server: puts the engine, the embedded store and the WebAssembly runtime together and serves them over REST.
//!
//! Owns: the wiring ([`Server`]), the lifecycle of functions, topics and artifacts (`app`, which knows no HTTP), the logs of
//! functions (`logs`), what is counted (`metrics`), SQL (`sql`), connections and what they may take (`net`, [`descriptors`], [`memory`]), and
//! the two interfaces, REST (`rest`) and gRPC (`grpc`), which hold no rules of their own. It is the only crate that names all implementations.
//!
//! # Reading order
//!
//! 1. [`config`]: what can be set. 2. [`server`]: start and end. 3. `app`: what each request means and in which order its
//!    steps become durable. 4. `rest`: how it looks over HTTP. 5. `sql`, then `grpc`: the same in statements and messages.
//!
//! ```no_run
//! # async fn example() -> fnstream_core::Result<()> {
//! use fnstream_server::{Server, ServerConfig};
//!
//! let mut config = ServerConfig::new("data");
//! config.listen = "localhost:0".into();
//! config.grpc_listen = None;
//! let server = Server::start(config).await?;
//! println!("listening on {}", server.local_addr());
//! server.shutdown().await
//! # }
//! ```

mod answer;
mod app;
mod clusters;
pub mod config;
pub mod descriptors;
mod failure;
mod gate;
mod gather;
mod grpc;
mod key_locks;
mod logs;
pub mod memory;
mod metrics;
mod most;
mod net;
mod one_port;
mod peers;
mod rest;
pub mod server;
mod signals;
mod sql;

pub use app::{granted, state_key};
pub use config::{AutoCreate, Group, KafkaConfig, Network, PulsarConfig, SafeStart, ServerConfig, SharedCluster};
pub use fnstream_core::topics::Retention;
pub use fnstream_store::Durability;
pub use most::Most;
pub use rest::openapi_yaml;
pub use server::Server;
pub use signals::{Asked, Signals};
