"""The system calls that bubblewrap's sandbox refuses, as a program for the kernel's filter."""

import platform
import struct

from agent.sandbox.job import SandboxUnavailable

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020080  # CLONE_NEW* of clone(2), time namespaces included
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: there is only an empty loopback
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: type into the terminal of the caller

# Numbers of x86_64 and aarch64. None: the architecture has no such call.
_CALLS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "migrate_pages": (256, 238),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "set_mempolicy": (238, 237),
    "setns": (308, 268),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "uselib": (134, None),
    "vhangup": (153, 58),
}
_CLONE, _CLONE3, _SOCKET, _SOCKETPAIR, _IOCTL = (
    (56, 220),
    (435, 435),
    (41, 198),
    (53, 199),
    (16, 29),
)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def program(machine: str | None = None) -> bytes:
    """Instructions in the form that seccomp(2) takes: eight bytes each, this machine's byte order.

    A call of another architecture (32 bit, x32) ends the process; a refused call fails.
    Raises SandboxUnavailable for a machine whose numbers are not known here.
    """
    name = machine or platform.machine()
    if name not in _ARCHITECTURES:
        raise SandboxUnavailable(f"the weaker sandbox knows no system calls of {name}")
    column, architecture = _ARCHITECTURES[name]
    code = [
        _load(_ARCHITECTURE_AT),
        *_unless(_EQUAL, architecture, _KILL),
        _load(_NUMBER_AT),
        *(_if(_AT_LEAST, _X32, _KILL) if name == "x86_64" else []),
        # Not to be looked into, since its flags lie in memory: programs then fall back to clone.
        *_if(_EQUAL, _CLONE3[column], _ERRNO | _ENOSYS),
    ]
    for numbers in _CALLS.values():
        if (number := numbers[column]) is not None:
            code += _if(_EQUAL, number, _ERRNO | _EPERM)
    code += _for_call(
        _CLONE[column], [_load(_argument(0)), *_if(_ANY_BIT, _NEW_NAMESPACES, _ERRNO | _EPERM)]
    )
    for call in (_SOCKET, _SOCKETPAIR):
        allowed = [part for family in _FAMILIES for part in _if(_EQUAL, family, _ALLOW)]
        refused = _return(_ERRNO | _EAFNOSUPPORT)
        code += _for_call(call[column], [_load(_argument(0)), *allowed, refused])
    requests = [part for one in _TERMINAL_INPUT for part in _if(_EQUAL, one, _ERRNO | _EPERM)]
    code += _for_call(_IOCTL[column], [_load(_argument(1)), *requests])
    code.append(_return(_ALLOW))
    return b"".join(code)


def _argument(place: int) -> int:
    """Where the low half of an argument lies: no call looked at has a longer one."""
    return _ARGUMENTS_AT + 8 * place


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", _LOAD, 0, 0, offset)


def _return(value: int) -> bytes:
    return struct.pack("=HBBI", _RETURN, 0, 0, value)


def _if(test: int, value: int, answer: int) -> list[bytes]:
    return [struct.pack("=HBBI", test, 0, 1, value), _return(answer)]


def _unless(test: int, value: int, answer: int) -> list[bytes]:
    return [struct.pack("=HBBI", test, 1, 0, value), _return(answer)]


def _for_call(number: int, block: list[bytes]) -> list[bytes]:
    """Run the block for one call only; it ends by allowing what it has not refused."""
    whole = [*block, _return(_ALLOW)]
    return [struct.pack("=HBBI", _EQUAL, 0, len(whole), number), *whole]
