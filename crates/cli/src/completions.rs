// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream completions`: a script that has a shell complete commands and flags.

use std::io::Write;

use clap::Command;
use clap_complete::Shell;

use crate::failure::Result;
use crate::output::Exact;

const AFTER_HELP: &str = "\
bash:  function-stream completions bash > ~/.local/share/bash-completion/completions/function-stream
zsh:   function-stream completions zsh > a folder of $fpath/_function-stream
fish:  function-stream completions fish > ~/.config/fish/completions/function-stream.fish";

/// The program, and its name without what the generator stumbles over.
const PROGRAM: &str = "function-stream";
const PLAIN: &str = "function_stream";

/// Print a script for a shell that completes commands and flags.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, program: Command) -> Result {
    let mut out = Exact::stdout();
    out.write_all(&script(args.shell, program))?;
    Ok(out.flush()?)
}

fn script(shell: Shell, program: Command) -> Vec<u8> {
    // In its script for bash, the generator takes the hyphen of a name for a blank at one place and not at the other. So that is
    // made for a name without, and registered for the program.
    let name = if shell == Shell::Bash { PLAIN } else { PROGRAM };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program.name(name), name, &mut script);
    match shell {
        Shell::Bash => {
            String::from_utf8_lossy(&script).replace(&format!(" {PLAIN}\n"), &format!(" {PROGRAM}\n")).into()
        }
        _ => script,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command as Process;

    use clap::CommandFactory;

    use super::*;
    use crate::Cli;

    /// The commands below one, with the words that lead there.
    fn commands(of: &Command, path: &[String], all: &mut Vec<Vec<String>>) {
        for command in of.get_subcommands().filter(|command| !command.is_hide_set()) {
            let path = [path, &[command.get_name().to_owned()]].concat();
            commands(command, &path, all);
            all.push(path);
        }
    }

    fn all() -> Vec<Vec<String>> {
        let mut all = Vec::new();
        commands(&Cli::command(), &[], &mut all);
        assert!(all.iter().any(|path| path.len() == 3), "client topic list is one");
        all
    }

    #[test]
    fn a_script_names_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell, Cli::command())).unwrap();
            for path in all() {
                let name = path.last().unwrap();
                assert!(script.contains(name.as_str()), "{shell}: {path:?}");
            }
        }
    }

    /// What bash offers at the end of a line.
    fn offered(script: &str, words: &[&str]) -> Vec<String> {
        let line: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        let asked = format!(
            "{script}\nCOMP_WORDS=({line}); COMP_CWORD={at}\n\
             $(complete -p function-stream | sed 's/.*-F \\([^ ]*\\) .*/\\1/') function-stream '{last}' ''\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            line = line.join(" "),
            at = words.len() - 1,
            last = words.last().unwrap()
        );
        // As a file: it is longer than an argument may be.
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, asked.as_bytes()).unwrap();
        let output = Process::new("bash").arg(file.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_completes_every_command_and_the_flags() {
        let script = String::from_utf8(script(Shell::Bash, Cli::command())).unwrap();
        for path in all() {
            let (last, before) = path.split_last().unwrap();
            let words: Vec<_> = std::iter::once("function-stream")
                .chain(before.iter().map(String::as_str))
                .chain([&last[..last.len() - 1]])
                .collect();
            assert!(offered(&script, &words).contains(last), "{words:?}");
        }
        let flags = offered(&script, &["function-stream", "client", "topic", "create", "--ret"]);
        assert!(flags.iter().any(|flag| flag == "--retention-bytes"), "{flags:?}");
    }
}
