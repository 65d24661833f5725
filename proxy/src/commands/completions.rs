//! `pgsonde completions` and `pgsonde man`: what packages install beside the binary.

use super::print;
use crate::problem::{LOCAL_RESOURCE, Problem};
use clap::{Args, Command};
use clap_complete::Shell;
use std::process::ExitCode;

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell that completes
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completions of all commands.
pub(crate) fn run(args: &CompletionsArgs, mut command: Command) -> Result<ExitCode, Problem> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "pgsonde", &mut text);
    print(&String::from_utf8_lossy(&text)).map(|()| ExitCode::SUCCESS)
}

/// Prints the manual page: the overview, then one section per command.
pub(crate) fn man(command: Command) -> Result<ExitCode, Problem> {
    let mut page = Vec::new();
    let written = render(command, &mut page);
    written.map_err(|error| {
        Problem::new(LOCAL_RESOURCE, format!("cannot write the manual page: {error}"))
    })?;
    print(&String::from_utf8_lossy(&page)).map(|()| ExitCode::SUCCESS)
}

fn render(mut command: Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    command.build();
    let commands: Vec<Command> =
        command.get_subcommands().filter(|of| of.get_name() != "help").cloned().collect();
    clap_mangen::Man::new(command).section("1").render(page)?;
    for of in commands {
        let name = of.get_display_name().unwrap_or(of.get_name()).to_owned();
        page.extend_from_slice(
            format!(".SH {}\n", name.to_uppercase().replace('-', " ")).as_bytes(),
        );
        let man = clap_mangen::Man::new(of);
        let mut part = Vec::new();
        man.render_description_section(&mut part)?;
        man.render_options_section(&mut part)?;
        // Its parts are paragraphs of this section, not sections of their own.
        let part = String::from_utf8_lossy(&part).replace(".SH ", ".SS ");
        page.extend_from_slice(part.as_bytes());
    }
    Ok(())
}
