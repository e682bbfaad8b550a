//! A filter of system calls, for `-o drop_privileges`: what a cache server never needs once it listens,
//! it may not do any more, and neither may somebody who has taken it over.
//!
//! memcached's filter lists what is allowed, and is off unless asked for because that list depends on
//! the C library. Ours lists what is forbidden: to run programs, to connect anywhere, to look into other
//! processes, and to change the system. Whoever tries is killed at once.

use std::collections::BTreeMap;

use anyhow::Context;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

/// What is forbidden.
const FORBIDDEN: [libc::c_long; 21] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_connect,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_swapon,
];

/// Forbids it to all threads of the process, for good.
pub(crate) fn apply() -> anyhow::Result<()> {
    let architecture = std::env::consts::ARCH
        .try_into()
        .context("this processor has no filter of system calls")?;
    let rules: BTreeMap<_, _> = FORBIDDEN.iter().map(|&call| (call, Vec::new())).collect();
    let (else_, then) = (SeccompAction::Allow, SeccompAction::KillProcess);
    let filter: BpfProgram =
        SeccompFilter::new(rules, else_, then, architecture).and_then(TryInto::try_into)?;
    apply_filter_all_threads(&filter).context("the system takes no filter of system calls")
}
