//! Makes sure of the programs the tests start: memcached, databases, browser.
//!
//! The list is [`larder_peers::required`]. On Debian and its kin missing packages are installed, and
//! their services kept from starting: the tests run private processes, and a packaged memcached would
//! hold port 11211.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use larder_peers::{Probe, Requirement, required};

/// Runs as root: installs the packages given to it while no service may start.
const INSTALL: &str = include_str!("install-peers.sh");

/// Programs that a package could have left running, with the package's service.
const SERVICES: [(&str, &str); 5] = [
    ("memcached", "memcached"),
    ("postgres", "postgresql"),
    ("mariadbd", "mariadb"),
    ("mysqld", "mariadb"),
    ("saslauthd", "saslauthd"),
];

/// Checks that everything required is there; installs what is not if `install` allows it.
///
/// # Errors
///
/// When something is missing and may not or cannot be installed; the message lists it with the
/// command that installs it.
pub(crate) fn make_sure(install: bool) -> anyhow::Result<()> {
    let missing: Vec<&Requirement> = required().iter().filter(|r| r.find().is_none()).collect();
    if missing.is_empty() {
        println!("all {} required programs and libraries are installed", required().len());
        return Ok(());
    }
    let packages = packages(&missing);
    let list = describe(&missing, &packages);
    if !install {
        bail!("{list}\nnothing is installed because of --no-install");
    }
    if !is_debian(&std::fs::read_to_string("/etc/os-release").unwrap_or_default()) {
        bail!("{list}\nonly Debian and Ubuntu packages are installed automatically");
    }
    let Some(root_shell) = root_shell() else {
        bail!("{list}\nonly root, or a user whom sudo asks for no password, can install packages");
    };
    println!("installing from the distribution, without starting services: {}", packages.join(" "));
    install_quietly(root_shell, &packages)?;
    let missing: Vec<&Requirement> = required().iter().filter(|r| r.find().is_none()).collect();
    if !missing.is_empty() {
        bail!("{}\nalthough the packages are installed", describe(&missing, &packages));
    }
    Ok(())
}

/// Installs, then makes sure that no service runs that did not run before.
fn install_quietly(mut root_shell: Command, packages: &[&str]) -> anyhow::Result<()> {
    let before = services_running();
    let status = root_shell.args(["-c", INSTALL, "install-peers"]).args(packages).status();
    if !status.context("cannot start the installation")?.success() {
        bail!("the installation of {} failed", packages.join(" "));
    }
    let started: Vec<String> = services_running()
        .into_iter()
        .filter(|(pid, _)| !before.contains_key(pid))
        .map(|(_, service)| format!("service {service} stop"))
        .collect();
    if !started.is_empty() {
        bail!("the installation has started services; stop them first: {}", started.join("; "));
    }
    Ok(())
}

/// The packages of requirements, each once, in the order of the list.
fn packages(missing: &[&Requirement]) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for requirement in missing {
        if !packages.contains(&requirement.package) {
            packages.push(requirement.package);
        }
    }
    packages
}

fn describe(missing: &[&Requirement], packages: &[&str]) -> String {
    let mut list = String::from("missing on this machine:\n");
    for requirement in missing {
        let (Probe::Program(name) | Probe::Library(name)) = requirement.probe;
        list.push_str(&format!(
            "  {name:<24}{:<32}package {}\n",
            requirement.what, requirement.package
        ));
    }
    list.push_str(&format!("  apt-get install --no-install-recommends {}", packages.join(" ")));
    list
}

/// Whether this is `/etc/os-release` of Debian or of a distribution made from it.
fn is_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split(' '))
        .any(|id| id == "debian" || id == "ubuntu")
}

/// A shell that runs as root without asking for a password, if there is one.
fn root_shell() -> Option<Command> {
    if output_of(Command::new("id").arg("-u")) == "0" {
        return Some(Command::new("sh"));
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "sh"]);
    let works = output_of(Command::new("sudo").args(["-n", "id", "-u"])) == "0";
    works.then_some(sudo)
}

/// What a command prints, trimmed; empty if it fails.
fn output_of(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

/// The processes that run a program of [`SERVICES`], by process id.
fn services_running() -> BTreeMap<u32, &'static str> {
    let entries = std::fs::read_dir(Path::new("/proc")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let program = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            let (_, service) = SERVICES.iter().find(|(name, _)| *name == program.trim())?;
            Some((pid, *service))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_what_is_made_from_it_are_recognised() {
        for (os_release, expected) in [
            ("NAME=\"Debian GNU/Linux\"\nID=debian\n", true),
            ("ID=ubuntu\nID_LIKE=debian\n", true),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", true),
            ("ID=fedora\n", false),
            ("ID=arch\nHOME_URL=debian\n", false),
            ("", false),
        ] {
            assert_eq!(is_debian(os_release), expected, "{os_release:?}");
        }
    }

    #[test]
    fn what_is_missing_is_listed_with_the_command_that_installs_it() {
        let requirement =
            |name, package| Requirement { what: "a thing", probe: Probe::Program(name), package };
        let (one, two, three) =
            (requirement("p1", "one"), requirement("p2", "one"), requirement("p3", "two"));
        let missing = [&one, &two, &three];
        let packages = packages(&missing);
        assert_eq!(packages, ["one", "two"]);
        let list = describe(&missing, &packages);
        assert!(
            list.contains("p2")
                && list.ends_with("apt-get install --no-install-recommends one two"),
            "{list}"
        );
    }

    /// A machine of the test's own: a directory with a policy file and an `apt-get`.
    struct Machine {
        dir: tempfile::TempDir,
    }

    impl Machine {
        fn new(policy: Option<&str>) -> Machine {
            let dir = tempfile::tempdir().unwrap();
            if let Some(policy) = policy {
                std::fs::write(dir.path().join("policy-rc.d"), policy).unwrap();
            }
            Machine { dir }
        }

        /// Runs the installation script; `apt-get` logs its arguments and the policy, then does
        /// `ending`. Returns whether the script succeeded, and the log.
        fn install(&self, ending: &str) -> (bool, String) {
            let dir = self.dir.path().to_str().unwrap();
            let apt = format!(
                "#!/bin/sh\necho \"$@\" >> {dir}/log\ncat {dir}/policy-rc.d >> {dir}/log\n{ending}\n"
            );
            std::fs::write(format!("{dir}/apt-get"), apt).unwrap();
            Command::new("chmod").args(["+x", &format!("{dir}/apt-get")]).status().unwrap();
            let script = INSTALL.replace("/usr/sbin/policy-rc.d", &format!("{dir}/policy-rc.d"));
            let status = Command::new("sh")
                .args(["-c", &script, "install-peers", "alpha", "beta"])
                .env("PATH", format!("{dir}:{}", std::env::var("PATH").unwrap()))
                .status()
                .unwrap();
            (status.success(), std::fs::read_to_string(format!("{dir}/log")).unwrap())
        }

        /// The policy file; fails if the script has left another file behind.
        fn policy(&self) -> Option<String> {
            let policy = std::fs::read_to_string(self.dir.path().join("policy-rc.d")).ok();
            let files = std::fs::read_dir(self.dir.path()).unwrap().count();
            assert_eq!(files, 2 + usize::from(policy.is_some()), "something is left behind");
            policy
        }
    }

    const POLICY: &str = "#!/bin/sh\nexit 0\n";

    #[test]
    fn no_service_may_start_while_packages_are_installed_and_the_policy_is_put_back() {
        for before in [None, Some(POLICY)] {
            let machine = Machine::new(before);
            let (ok, log) = machine.install("exit 0");
            assert!(ok);
            assert_eq!(log.matches("exit 101").count(), 2, "{log}");
            assert!(log.contains("install -y --no-install-recommends alpha beta"), "{log}");
            assert_eq!(machine.policy().as_deref(), before);
        }
    }

    #[test]
    fn the_policy_is_put_back_when_the_installation_fails() {
        let machine = Machine::new(Some(POLICY));
        assert!(!machine.install("exit 100").0);
        assert_eq!(machine.policy().as_deref(), Some(POLICY));
    }

    /// Nothing can be put back by a script that is killed; the next one does it.
    #[test]
    fn a_killed_installation_is_cleaned_up_by_the_next() {
        for before in [None, Some(POLICY)] {
            let machine = Machine::new(before);
            assert!(!machine.install("kill -KILL $PPID").0);
            assert!(machine.install("exit 0").0);
            assert_eq!(machine.policy().as_deref(), before);
        }
    }
}
