//! Owns how much memory the process may take: what its container allows, or a part of the machine's.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Of the container's limit the rest is left to the kernel's buffers, which count there too.
const OF_CONTAINER: (u64, u64) = (3, 4);

/// Of a machine that others use as well.
const OF_MACHINE: (u64, u64) = (1, 4);

/// However small the container is: with less nothing is of use.
const LEAST: u64 = 256 * 1024 * 1024;

/// Where the control groups of this process, and their files, are.
const OWN_GROUPS: &str = "/proc/self/cgroup";
const GROUP_FILES: &str = "/sys/fs/cgroup";

const MACHINE: &str = "/proc/meminfo";

/// The bytes that the process may take if nobody has set them.
pub(super) fn budget() -> u64 {
    let machine = fs::read_to_string(MACHINE).ok().and_then(|text| total(&text)).unwrap_or(0);
    let own = fs::read_to_string(OWN_GROUPS).unwrap_or_default();
    of(container_limit(&own, Path::new(GROUP_FILES)), machine)
}

/// The budget in a container with this `limit`, on a machine with `machine` bytes.
fn of(limit: Option<u64>, machine: u64) -> u64 {
    // A limit beyond the machine is version 1's way to say that there is none.
    let limit = limit.filter(|limit| machine == 0 || *limit < machine);
    let (whole, (part, parts)) = limit.map_or((machine, OF_MACHINE), |limit| (limit, OF_CONTAINER));
    (whole / parts * part).max(LEAST)
}

/// The smallest limit of the control groups that `own` lists (`/proc/self/cgroup`), and of those around them; their files are below
/// `files`. In a container the path may be the host's, which does not exist there: then its own group is at the top.
fn container_limit(own: &str, files: &Path) -> Option<u64> {
    own.lines().filter_map(|line| limits_of(line, files).into_iter().min()).min()
}

fn limits_of(line: &str, files: &Path) -> Vec<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (top, file) = match controllers {
        "" => (files.to_owned(), "memory.max"),
        names if names.split(',').any(|name| name == "memory") => {
            (files.join("memory"), "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let group: PathBuf = top.join(path.trim_start_matches('/'));
    let around = group.ancestors().take_while(|group| group.starts_with(&top));
    // `max` is no number: no limit.
    around.filter_map(|group| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()).collect()
}

/// The memory of the machine, as `/proc/meminfo` tells it.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1_024))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const MIB: u64 = 1_024 * 1_024;

    /// Control groups with these limits.
    fn groups(limits: &[(&str, &str)]) -> TempDir {
        let dir = TempDir::new().unwrap();
        for (path, limit) in limits {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{limit}\n")).unwrap();
        }
        dir
    }

    #[test]
    fn the_smallest_limit_around_the_process_counts() {
        let dir = groups(&[
            ("memory.max", "max"),
            ("kubepods/memory.max", "1000000"),
            ("kubepods/pod/memory.max", "500000"),
            ("kubepods/pod/own/memory.max", "max"),
            ("other/memory.max", "1"),
            ("memory/memory.limit_in_bytes", "9223372036854771712"),
            ("memory/docker/own/memory.limit_in_bytes", "400000"),
        ]);
        let limit = |own: &str| container_limit(own, dir.path());
        assert_eq!(limit("0::/kubepods/pod/own\n"), Some(500_000));
        assert_eq!(limit("0::/kubepods\n"), Some(1_000_000));
        assert_eq!(limit("0::/\n"), None);
        assert_eq!(limit("4:cpu,memory:/docker/own\n1:cpu:/other\n0::/\n"), Some(400_000));
        assert_eq!(limit("9:memory:/of/the/host\n0::/\n"), Some(9_223_372_036_854_771_712));
        assert_eq!(limit("no sense\n0::\n:::\n\n"), None);
    }

    #[test]
    fn inside_a_container_the_hosts_path_leads_to_the_top() {
        let dir = groups(&[("memory.max", "300000"), ("memory/memory.limit_in_bytes", "200000")]);
        assert_eq!(container_limit("0::/system.slice/docker-x.scope\n", dir.path()), Some(300_000));
        assert_eq!(container_limit("3:memory:/docker/x\n", dir.path()), Some(200_000));
    }

    #[test]
    fn three_quarters_of_a_container_or_a_quarter_of_a_machine() {
        let machine = 16_384 * MIB;
        assert_eq!(of(Some(1_024 * MIB), machine), 768 * MIB);
        assert_eq!(of(None, machine), 4_096 * MIB);
        assert_eq!(of(Some(9_223_372_036_854_771_712), machine), 4_096 * MIB);
        assert_eq!(of(Some(64 * MIB), machine), 256 * MIB);
        assert_eq!(of(None, 0), 256 * MIB);
    }

    #[test]
    fn the_machines_memory_is_read() {
        assert_eq!(total("MemTotal:       24685000 kB\nMemFree: 1 kB\n"), Some(24_685_000 * 1_024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(budget() >= LEAST);
    }
}
