"""A hostile program: tries ways out of a sandbox and prints which of them worked, as JSON.

Run as `python probes.py CONTEXT.json`. Needs nothing but Python. Each probe runs in a process of
its own and says True when it got what it must not get; OSError means that it was kept out. The
same program runs without a sandbox to show that each probe does work there. What it does there is
harmless and undone at once.
"""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import resource
import socket
import stat
import struct
import sys
import time

PROBES = {}
LIBC = ctypes.CDLL(None, use_errno=True)
CONTEXT = {}
PATIENCE = 10
OPEN_AT_THE_START = [
    name
    for name in os.listdir("/proc/self/fd")
    if int(name) > 2 and os.path.lexists(f"/proc/self/fd/{name}")
]


def probe(function):
    PROBES[function.__name__] = function
    return function


def call(number, *arguments):
    """A raw system call: its result, or OSError. Anything but a plain refusal is for the caller."""
    kept = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *kept)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def refused_for(number, *arguments, but):
    """Whether a call with senseless arguments gets far enough to notice that they are senseless."""
    try:
        call(number, *arguments)
    except OSError as error:
        return error.errno in but
    return True


def opens(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags))
    return True


def reads(path, size=64):
    with open(path, "rb") as file:
        return bool(file.read(size))


def writes_in(folder):
    path = os.path.join(folder, f".probe-{os.getpid()}")
    with open(path, "w") as file:
        file.write("x")
    os.unlink(path)
    return True


# Files of the machine ---------------------------------------------------------------------------


@probe
def read_a_file_of_the_machine():
    return reads(CONTEXT["canary"])


@probe
def list_a_folder_of_the_machine():
    return bool(os.listdir(os.path.dirname(CONTEXT["canary"])))


@probe
def follow_a_link_out():
    with contextlib.suppress(FileNotFoundError):
        os.unlink("link-out")
    os.symlink(CONTEXT["canary"], "link-out")
    return reads("link-out")


@probe
def hard_link_a_file_of_the_machine():
    path = CONTEXT["canary"] + ".linked"
    os.link(CONTEXT["canary"], path)
    os.unlink(path)
    return True


@probe
def read_the_checkout():
    return reads(CONTEXT["checkout"] + "/pyproject.toml")


@probe
def read_shadow():
    return reads("/etc/shadow")


@probe
def see_the_machines_users():
    with open("/etc/passwd") as file:
        return len(file.readlines()) > 5


@probe
def see_the_machines_etc():
    return len(os.listdir("/etc")) > 10


@probe
def see_the_machines_packages():
    return bool(os.listdir("/var/lib/dpkg"))


@probe
def see_the_machines_logs():
    return bool(os.listdir("/var/log"))


@probe
def see_the_folders_of_other_runs():
    return bool(os.listdir(CONTEXT["runs"]))


@probe
def through_the_root_of_a_process():
    return reads(f"/proc/{CONTEXT['process']}/root{CONTEXT['canary']}")


@probe
def through_the_folder_of_a_process():
    return reads(f"/proc/{CONTEXT['process']}/cwd/{os.path.basename(CONTEXT['canary'])}")


@probe
def by_a_file_handle():
    # open_by_handle_at with a handle of no file: EPERM without the capability, else another error.
    handle = struct.pack("IiQ", 8, 1, 0)
    here = os.open(".", os.O_RDONLY)
    return refused_for(304, here, handle, os.O_RDONLY, but={errno.ESTALE, errno.EINVAL})


@probe
def overwrite_a_running_program_of_the_machine():
    try:
        return opens(f"/proc/{CONTEXT['process']}/exe", os.O_WRONLY)
    except OSError as error:
        return error.errno == errno.ETXTBSY


# Writing ----------------------------------------------------------------------------------------


@probe
def write_into_usr():
    return writes_in(CONTEXT["places"]["usr"])


@probe
def write_into_the_root():
    return writes_in(CONTEXT["places"]["root"])


@probe
def write_into_etc():
    return writes_in(CONTEXT["places"]["etc"])


@probe
def write_into_the_environment():
    return writes_in(CONTEXT["places"]["environment"])


@probe
def write_into_the_interpreter():
    return writes_in(CONTEXT["places"]["python"])


@probe
def write_into_the_inputs():
    return writes_in(CONTEXT["places"]["inputs"])


@probe
def write_into_the_collector():
    return writes_in(CONTEXT["places"]["ours"])


@probe
def write_into_dev():
    return writes_in(CONTEXT["places"]["dev"])


@probe
def write_into_a_folder_of_the_machine():
    return writes_in(os.path.dirname(CONTEXT["canary"]))


# File systems of the sandbox itself; whatever else is mounted must be read-only, owners or not.
WRITABLE = ("/workspace", "/tmp", "/dev", "/dev/shm", "/dev/pts", "/proc", "/sys")


@probe
def find_a_writable_mount():
    with open("/proc/self/mounts") as file:
        mounts = [line.split() for line in file]
    return any(
        "ro" not in options.split(",") and place not in WRITABLE and not place.startswith("/dev/")
        for _, place, _, options, *_ in mounts
    )


@probe
def change_the_modes_of_usr():
    place = CONTEXT["places"]["usr"]
    os.chmod(place, stat.S_IMODE(os.stat(place).st_mode))
    return True


@probe
def give_a_file_to_root():
    with open("mine", "w"):
        os.chown("mine", 0, 0)
    os.unlink("mine")
    return True


# The kernel's knobs -----------------------------------------------------------------------------


@probe
def write_core_pattern():
    return opens("/proc/sys/kernel/core_pattern", os.O_WRONLY)


@probe
def write_what_happens_at_a_panic():
    return opens("/proc/sys/kernel/panic", os.O_WRONLY)


@probe
def write_how_many_files_the_machine_may_open():
    return opens("/proc/sys/fs/file-max", os.O_WRONLY)


@probe
def write_the_hosts_name():
    return opens("/proc/sys/kernel/hostname", os.O_WRONLY)


@probe
def write_vm_settings():
    return opens("/proc/sys/vm/drop_caches", os.O_WRONLY)


@probe
def read_the_kernels_messages():
    return opens("/dev/kmsg")


@probe
def read_the_kernels_slabs():
    return reads("/proc/slabinfo")


@probe
def read_the_kernels_allocations():
    return reads("/proc/vmallocinfo")


@probe
def read_page_flags():
    return opens("/proc/kpageflags")


@probe
def make_a_control_group():
    for place in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if os.path.isdir(place):
            path = f"{place}/probe-{os.getpid()}"
            os.mkdir(path)
            os.rmdir(path)
            return True
    raise FileNotFoundError("no control groups")


@probe
def write_into_sys():
    return opens("/sys/kernel/mm/transparent_hugepage/enabled", os.O_WRONLY)


@probe
def see_block_devices():
    return bool(os.listdir("/sys/class/block"))


@probe
def open_a_block_device():
    names = [name for name in os.listdir("/dev") if name.startswith(("vda", "sda", "nvme", "loop"))]
    return bool(names) and opens("/dev/" + sorted(names)[0])


# Processes of the machine -----------------------------------------------------------------------


@probe
def see_a_process_of_the_machine():
    with open(f"/proc/{CONTEXT['process']}/cmdline", "rb") as file:
        return CONTEXT["mark"].encode() in file.read()


@probe
def see_any_process_of_the_machine():
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
                if CONTEXT["mark"].encode() in file.read():
                    return True
    return False


@probe
def signal_a_process_of_the_machine():
    os.kill(CONTEXT["process"], 0)
    return True


@probe
def hold_a_process_of_the_machine():
    os.close(os.pidfd_open(CONTEXT["process"]))
    return True


@probe
def trace_a_process_of_the_machine():
    call(101, 0x4206, CONTEXT["process"], 0, 0)  # PTRACE_SEIZE; let go when this process ends
    return True


@probe
def read_the_memory_of_a_process_of_the_machine():
    return opens(f"/proc/{CONTEXT['process']}/mem")


@probe
def see_the_priority_of_a_process_of_the_machine():
    os.getpriority(os.PRIO_PROCESS, CONTEXT["process"])
    return True


@probe
def enter_the_network_of_a_process_of_the_machine():
    return opens(f"/proc/{CONTEXT['process']}/ns/net")


@probe
def read_the_environment_of_any_process():
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if CONTEXT["secret"].encode() in file.read():
                    return True
    return False


@probe
def find_a_secret_in_the_environment():
    return any(CONTEXT["secret"] in value for value in os.environ.values())


@probe
def find_an_open_descriptor():
    return bool(OPEN_AT_THE_START)


@probe
def attach_shared_memory_of_the_machine():
    LIBC.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
    if LIBC.shmget(CONTEXT["shared"], 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    return True


@probe
def see_dev_shm_of_the_machine():
    return CONTEXT["mark"] in os.listdir("/dev/shm")


# Network ----------------------------------------------------------------------------------------


def connects(family, kind, address):
    with socket.socket(family, kind) as asked:
        asked.settimeout(2)
        asked.connect(address)
        asked.sendall(b"?")
        return asked.recv(1) == b"!"


@probe
def reach_the_machine_by_tcp():
    return connects(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", CONTEXT["tcp"]))


@probe
def reach_the_machine_by_ipv6():
    return connects(socket.AF_INET6, socket.SOCK_STREAM, ("::1", CONTEXT["tcp6"]))


@probe
def reach_the_machine_by_its_address():
    return connects(socket.AF_INET, socket.SOCK_STREAM, (CONTEXT["address"], CONTEXT["tcp"]))


@probe
def reach_the_machine_by_udp():
    return connects(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", CONTEXT["udp"]))


@probe
def reach_a_socket_file_of_the_machine():
    return connects(socket.AF_UNIX, socket.SOCK_STREAM, CONTEXT["unix"])


@probe
def reach_an_abstract_socket_of_the_machine():
    return connects(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + CONTEXT["mark"])


@probe
def see_the_machines_interfaces():
    return any(name != "lo" for _, name in socket.if_nameindex())


@probe
def see_the_machines_routes():
    with open("/proc/net/route") as file:
        return len(file.readlines()) > 1


@probe
def see_the_machines_connections():
    with open("/proc/net/tcp") as file:
        return f":{CONTEXT['tcp']:04X} " in file.read()


@probe
def open_a_raw_socket():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return True


@probe
def open_a_packet_socket():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    return True


@probe
def listen_to_the_kernels_events():
    # gVisor answers such a socket itself and sends nothing; binding to the kernel's group is it.
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15) as events:
        events.bind((0, 1))
    return CONTEXT["release"] == os.uname().release


@probe
def ask_the_machines_name_server():
    with open("/etc/resolv.conf") as file:
        return any(line.startswith("nameserver") for line in file)


# Privilege --------------------------------------------------------------------------------------


@probe
def be_root():
    return os.geteuid() == 0


@probe
def become_root():
    os.setresuid(0, 0, 0)
    return True


@probe
def join_the_group_of_root():
    os.setresgid(0, 0, 0)
    return True


@probe
def choose_groups():
    os.setgroups([0])
    return True


@probe
def hold_a_capability():
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file if line.startswith("Cap"))
    return any(int(lines[name], 16) for name in ("CapEff", "CapPrm", "CapBnd") if name in lines)


@probe
def gain_privileges_by_a_program():
    return LIBC.prctl(39, 0, 0, 0, 0) == 0  # PR_GET_NO_NEW_PRIVS


@probe
def mount_a_file_system():
    if LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, b"size=4k"):
        raise OSError(ctypes.get_errno(), "mount")
    LIBC.umount2(b"/tmp", 2)
    return True


@probe
def mount_usr_over_another_folder():
    os.makedirs("over", exist_ok=True)
    if LIBC.mount(b"/usr", b"over", None, 4096, None):
        raise OSError(ctypes.get_errno(), "mount")
    LIBC.umount2(b"over", 2)
    return True


@probe
def make_usr_writable():
    if LIBC.mount(None, CONTEXT["places"]["mount"].encode(), None, 32 | 4096, None):
        raise OSError(ctypes.get_errno(), "mount")
    return True


@probe
def unmount_proc():
    if LIBC.umount2(b"/proc", 2):
        raise OSError(ctypes.get_errno(), "umount")
    if LIBC.mount(b"proc", b"/proc", b"proc", 0, None):
        raise RuntimeError("the control could not put /proc back")
    return True


@probe
def change_the_root():
    os.chroot("/usr")
    return True


@probe
def rename_the_machine():
    socket.sethostname(socket.gethostname())
    return True


@probe
def restart_the_machine():
    return refused_for(169, 1, 2, 3, 0, but={errno.EINVAL})


@probe
def swap_to_a_file():
    return refused_for(167, b"/nothing-here", 0, but={errno.ENOENT})


@probe
def load_a_program_into_the_kernel():
    attributes = struct.pack("IIIII", 2, 4, 4, 1, 0).ljust(120, b"\0")
    os.close(call(321, 0, attributes, len(attributes)))
    return True


@probe
def watch_the_processor():
    attributes = struct.pack("IIQ", 1, 112, 0).ljust(112, b"\0")
    os.close(call(298, attributes, 0, -1, -1, 0))
    return True


@probe
def ring_the_kernel():
    os.close(call(425, 4, bytes(120)))
    return True


@probe
def reach_the_keyring_of_the_worker():
    return call(250, 0, -3, 0) == CONTEXT["keyring"]  # KEYCTL_GET_KEYRING_ID of the session


@probe
def handle_page_faults_of_the_kernel():
    os.close(call(323, 0))
    return True


@probe
def leave_a_core_file():
    return resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


# More than was allowed --------------------------------------------------------------------------


def fills(folder, megabytes):
    path = os.path.join(folder, f"fill-{os.getpid()}")
    try:
        with open(path, "wb") as file:
            for _ in range(megabytes):
                file.write(bytes(1024 * 1024))
                file.flush()
    finally:
        os.unlink(path)
    return True


@probe
def fill_the_workspace():
    return fills(".", CONTEXT["disk_mb"] + 2)


@probe
def fill_tmp():
    return fills("/tmp", CONTEXT["tmp_mb"] + 2)


@probe
def fill_dev_shm():
    return fills("/dev/shm", CONTEXT["tmp_mb"] + 2)


@probe
def write_a_file_of_a_terabyte():
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with open("large", "wb") as file:
            file.truncate(1 << 40)
    finally:
        os.unlink("large")
    return True


@probe
def start_too_many_processes():
    children = []
    try:
        for _ in range(CONTEXT["processes"] + 5):
            child = os.fork()
            if child == 0:
                time.sleep(30)
                os._exit(0)
            children.append(child)
        return True
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)


@probe
def open_too_many_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, wanted + 100), hard))
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(wanted)]
    return len(held) == wanted


@probe
def lock_too_much_memory():
    size = 4 << 20
    held = mmap.mmap(-1, size)
    place = ctypes.addressof(ctypes.c_char.from_buffer(held))
    LIBC.mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    if LIBC.mlock(place, size):
        raise OSError(ctypes.get_errno(), "mlock")
    return True


# What a machine can be told by ------------------------------------------------------------------


@probe
def tell_the_machine_by_its_kernel():
    return os.uname().release == CONTEXT["release"]


@probe
def tell_the_machine_by_its_name():
    return os.uname().nodename == CONTEXT["name"]


@probe
def tell_the_machine_by_its_start():
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip() == CONTEXT["boot"]


@probe
def tell_the_machine_by_its_mounts():
    with open("/proc/self/mounts") as file:
        return any(CONTEXT["device"] == line.split()[0] for line in file)


def main():
    with open(sys.argv[1]) as file:
        CONTEXT.update(json.load(file))
    found = {}
    for name, function in PROBES.items():
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                said = "worked" if function() else "held"
            except OSError as error:
                said = f"held: {os.strerror(error.errno) if error.errno else error}"
            except BaseException as error:  # noqa: BLE001  # said, and the test fails of it
                said = f"broken: {error!r}"
            os.write(writing, said.encode())
            os._exit(0)
        os.close(writing)
        until = time.monotonic() + PATIENCE
        while not os.waitpid(child, os.WNOHANG)[0]:
            if time.monotonic() > until:
                os.kill(child, 9)
                os.waitpid(child, 0)
                break
            time.sleep(0.001)
        said = os.read(reading, 4096).decode()
        os.close(reading)
        found[name] = said or "held: ended"
    print(json.dumps(found))


main()
