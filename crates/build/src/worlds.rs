// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The WIT packages of our worlds, and worlds of what an SDK exports.

use std::path::Path;

use wit_parser::{PackageId, Resolve, WorldId};

/// In the order in which they need each other.
const PACKAGES: &[(&str, &str)] = &[
    ("io.wit", include_str!("../../../wit/core/deps/io.wit")),
    ("clocks.wit", include_str!("../../../wit/core/deps/clocks.wit")),
    ("random.wit", include_str!("../../../wit/core/deps/random.wit")),
    ("filesystem.wit", include_str!("../../../wit/core/deps/filesystem.wit")),
    ("sockets.wit", include_str!("../../../wit/core/deps/sockets.wit")),
    ("cli.wit", include_str!("../../../wit/core/deps/cli.wit")),
    ("packed.wit", include_str!("../../../wit/packed/packed.wit")),
    ("processor.wit", include_str!("../../../wit/core/processor.wit")),
];

const BUILD: &str = "
package functionstream:build@0.1.0;

/// The world of an SDK. WASI comes with the adapter.
world both {
  include functionstream:packed/packed-timers@0.1.0;
  include functionstream:core/processor@0.1.0;
}

/// The world of an SDK that was made before there were timers.
world both-without-timers {
  include functionstream:packed/packed@0.1.0;
  include functionstream:core/processor@0.1.0;
}

/// The world for other hosts.
world per-record {
  include functionstream:core/processor@0.1.0;
}

/// The first for a toolchain that brings WASI itself.
world both-with-wasi {
  include functionstream:packed/packed-timers@0.1.0;
  include functionstream:core/processor-runtime@0.1.0;
}

/// The second for a toolchain that brings WASI itself.
world both-without-timers-with-wasi {
  include functionstream:packed/packed@0.1.0;
  include functionstream:core/processor-runtime@0.1.0;
}

/// The third for a toolchain that brings WASI itself.
world per-record-with-wasi {
  include functionstream:core/processor-runtime@0.1.0;
}
";

/// Which of our worlds a component has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worlds {
    /// The packed one, with timers, and the per-record one.
    Both,
    /// The packed one, as it was before it had timers, and the per-record one.
    BothWithoutTimers,
    /// The per-record one alone.
    PerRecord,
}

impl Worlds {
    fn plain(self) -> &'static str {
        match self {
            Worlds::Both => "both",
            Worlds::BothWithoutTimers => "both-without-timers",
            Worlds::PerRecord => "per-record",
        }
    }

    /// The world of toolchains that bring WASI themselves.
    pub(crate) fn with_wasi(self) -> String {
        format!("functionstream:build/{}-with-wasi@0.1.0", self.plain())
    }
}

/// The world that a core module is embedded with.
pub(crate) fn resolve(worlds: Worlds) -> Result<(Resolve, WorldId), Box<dyn std::error::Error>> {
    let mut resolve = Resolve::default();
    for (name, text) in PACKAGES {
        resolve.push_str(name, text)?;
    }
    let package: PackageId = resolve.push_str("build.wit", BUILD)?;
    let world = resolve.select_world(&[package], Some(worlds.plain()))?;
    Ok((resolve, world))
}

/// Writes them as a folder that a toolchain reads.
pub(crate) fn write(folder: &Path) -> std::io::Result<()> {
    let deps = folder.join("deps");
    std::fs::create_dir_all(&deps)?;
    std::fs::write(folder.join("build.wit"), BUILD)?;
    PACKAGES.iter().try_for_each(|(name, text)| std::fs::write(deps.join(name), text))
}
