"""Sandboxes by gVisor: a kernel of its own, in user space, between a job and this machine."""

import dataclasses
import json
import os
import selectors
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import structlog

from agent.sandbox import bundle, cgroups, environments, folders, snapshots
from agent.sandbox.job import Ended, Environment, Job, Outcome, SandboxUnavailable, Session
from agent.sandbox.reuse import Held
from agent.sandbox.supervision import START_S, Started, Talk, Watched

log = structlog.get_logger(__name__)

EGRESS = "/egress"
OVERHEAD_MB = 96  # gVisor itself: 42 MiB idle, more while it starts
_FLAGS = (
    "--network=none",
    "--platform=systrap",
    # The default lets gVisor open files of this machine itself, as root.
    "--directfs=false",
    # The default puts a writable file beside the root file system.
    "--overlay2=none",
    "--host-fifo=none",
    # Nobody changes a mounted folder while a sandbox sees it: files need not be looked up twice.
    "--file-access-mounts=exclusive",
    # Its groups are ours, so that they stand before it starts and after it is gone.
    "--ignore-cgroups",
)


@dataclass(frozen=True)
class GVisor:
    """Runs jobs with `runsc`.

    store: folder of environments.
    runs: folder of what single runs need; a short path, since sockets are below it.
    """

    program: Path
    store: Path
    runs: Path
    tier: str = "gvisor"
    snapshots: Path | None = None  # folder of snapshots that jobs may start from; None: none do
    egress: Path | None = None  # folder with a socket of ours, seen at EGRESS; for fetching only

    @cached_property
    def version(self) -> str:
        """What runsc says it is, for records."""
        asked = [str(self.program), "--version"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True, env={})
        return said.stdout.split("\n", 1)[0].removeprefix("runsc version ").strip()

    @cached_property
    def _hierarchies(self) -> cgroups.Hierarchies | None:
        return cgroups.hierarchies()

    def run(
        self,
        job: Job,
        *,
        on_output: Callable[[bytes], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Outcome:
        """Run the job to its end, see `Engine.run`."""
        held = self._image(job)
        if held is not None:
            restored = Watched(job, self._prepared(job, held.place), talk=False)
            outcome = restored.finish(on_output, cancelled)
            if restored.report.ready or outcome.ended is Ended.CANCELLED:
                return outcome
            # Nothing of the job has run yet.
            _cold(held.place, f"not restored: {outcome.stderr[-500:].decode(errors='replace')}")
        return Watched(job, self._prepared(job), talk=False).finish(on_output, cancelled)

    def open(self, job: Job, *, cancelled: Callable[[], bool] | None = None) -> Session:
        """Start the job and talk to it, see `Engine.open`."""
        return Talk(Watched(job, self._prepared(job), talk=True), cancelled)

    def reap(self) -> int:
        """End what the runs of dead workers left behind. Returns how many there were."""
        return folders.reap(self.runs, self._hierarchies)

    def _prepared(self, job: Job, image: Path | None = None, *, warm: bool = False) -> Started:
        """image: a snapshot to start from. warm: it is started to become one."""
        environment = job.environment or environments.plain(self.store)
        folder = folders.new(self.runs)
        memory_mb = job.limits.memory_mb + OVERHEAD_MB
        try:
            self._lay_out(job, environment, folder, warm=warm or image is not None)
            if image is not None:
                (folder / "ours" / "go.json").write_bytes(snapshots.told(job))
            group = cgroups.for_run(self._hierarchies, folder.name, memory_mb=memory_mb)
        except SandboxUnavailable:
            shutil.rmtree(folder)
            raise
        except OSError as error:
            shutil.rmtree(folder)
            raise SandboxUnavailable(f"a sandbox cannot be prepared: {error}") from error

        def command(report: int) -> Sequence[str]:
            if image is not None:
                way = ["restore", f"--image-path={image}"]
            else:
                way = ["run"] if warm else ["run", f"--pass-fd={report}:3"]
            return [*self._runsc(folder), *way, f"--bundle={folder}", folder.name]

        return Started(
            command,
            folder,
            group,
            self.tier,
            environment.digest,
            memory_mb,
            restored=warm or image is not None,
            event="sandbox.snapshot" if warm else "sandbox.run",
        )

    def _runsc(self, folder: Path) -> list[str]:
        """The program with the flags that every call for one sandbox has."""
        flags = [*_FLAGS, f"--root={folder / 'state'}"]
        flags.append(f"--host-uds={'open' if self.egress else 'none'}")
        if os.geteuid() != 0:
            flags.append("--rootless")
        return [str(self.program), *flags]

    def _lay_out(self, job: Job, environment: Environment, folder: Path, *, warm: bool) -> None:
        laid = bundle.lay_out(job, environment, folder)
        configuration = bundle.configuration(job, laid, environment)
        if warm:
            configuration["process"]["args"] = snapshots.COMMAND
        if self.egress is not None:
            (laid.root / EGRESS[1:]).mkdir()
            configuration["mounts"].append(bundle.bound(EGRESS, self.egress))
        (folder / "config.json").write_text(json.dumps(configuration))

    # Snapshots -----------------------------------------------------------------------------

    def _image(self, job: Job) -> Held | None:
        """The snapshot that the job may start from, made now if there is none; None: start cold."""
        if self.snapshots is None or self.egress or not snapshots.may_start_from_one(job):
            return None
        environment = job.environment or environments.plain(self.store)
        runtime = [self.version, *_FLAGS]
        image = self.snapshots / snapshots.key(job, environment, runtime)
        with _making:
            if image in _given_up:
                return None
            try:
                while (held := Held.at(image)) is None:
                    self._save(job, environment, image)
                modules = frozenset(json.loads((image / "modules.json").read_bytes()))
            except (OSError, ValueError, subprocess.SubprocessError, SandboxUnavailable) as error:
                _cold(image, f"no snapshot: {error}")
                return None
        if names := snapshots.shadowed(job, modules):
            log.info("sandbox.cold", reason=f"the job has modules of its own: {', '.join(names)}")
            return None
        return held

    def _save(self, job: Job, environment: Environment, image: Path) -> None:
        """Start a sandbox with nothing of the job's, and keep it as it is once it waits."""
        like = dataclasses.replace(snapshots.waiting(job), environment=environment)
        how = self._prepared(like, warm=True)
        watched = Watched(like, how, talk=False)
        try:
            with selectors.DefaultSelector() as ready:
                ready.register(watched.channel, selectors.EVENT_READ)
                line = watched.channel.readline() if ready.select(START_S) else b""
            modules = snapshots.loaded(line)
            image.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=image.parent, prefix=".making-") as folder:
                made = Path(folder) / "image"
                made.mkdir(mode=0o700)
                save = ["checkpoint", f"--image-path={made}", "--compression=none"]
                subprocess.run(
                    [*self._runsc(how.folder), *save, how.folder.name],
                    check=True,
                    capture_output=True,
                    timeout=START_S,
                    env={},
                )
                (made / "modules.json").write_text(json.dumps(sorted(modules)))
                environments.keep(made, image)
        finally:
            watched.close()


# Snapshots that cannot be made or restored here; the next process tries again.
_given_up: set[Path] = set()
_making = threading.Lock()


def _cold(image: Path, why: str) -> None:
    """Note that jobs start cold that would start from this snapshot."""
    log.warning("sandbox.cold", snapshot=image.name[:12], reason=why)
    _given_up.add(image)
