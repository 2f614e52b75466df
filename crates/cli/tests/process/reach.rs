// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use super::support::{BINARY, Server, command, flags};

#[test]
fn a_server_that_other_machines_reach_warns_of_each_address_and_another_one_does_not() {
    for (host, grpc, warnings) in [("127.0.0.1:0", "none", 0), ("0.0.0.0:0", "none", 1), ("0.0.0.0:0", "0.0.0.0:0", 2)]
    {
        let data = tempfile::tempdir().unwrap();
        let set = |flag: String| match flag.as_str() {
            "127.0.0.1:0" => host.to_owned(),
            "none" => grpc.to_owned(),
            _ => flag,
        };
        let server = Server::run(command(BINARY).args(flags(data.path()).into_iter().map(set)));
        let warned = server.log.iter().filter(|line| line.contains("WARN") && line.contains("FS-1710"));
        assert_eq!(warned.count(), warnings, "{host} {grpc}: {}", server.log.join("\n"));
        server.stop();
    }
}
