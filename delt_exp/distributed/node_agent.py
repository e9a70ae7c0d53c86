"""Runs the ranks of one node; started by srun as `python -m delt_exp.distributed.node_agent PORT`."""

import os
import pickle
import signal
import socket
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Client, Connection
from pathlib import Path
from threading import Event, Thread

from delt_exp.distributed.nodes import KEY, Answer, Work
from delt_exp.distributed.processes import launch
from delt_exp.errors import DeltError
from delt_exp.runtime import quiet


def main() -> None:
    """Fetch the work from the caller, do it, answer, and leave with status 0 if it went well."""
    host, port = os.environ["SLURM_LAUNCH_NODE_IPADDR"], int(sys.argv[1])
    caller, answered = Client((host, port), authkey=os.environ.pop(KEY).encode()), Event()
    work: Work = pickle.loads(caller.recv_bytes())
    Thread(target=_leave_with, args=(caller, answered), daemon=True).start()
    answer = _answer(work, host)
    answered.set()
    caller.send_bytes(pickle.dumps(answer))
    raise SystemExit(bool(answer.error))


def _answer(work: Work, host: str) -> Answer:
    quiet()
    if not _sees(work.token, work.patience_seconds):
        return Answer({}, (
            f"node {socket.gethostname()} does not see {work.token.parent}; with trainer.num_nodes={work.num_nodes} "
            "the store must lie on a file system that all nodes share: output_dir=FOLDER or store.root=FOLDER"
        ))  # fmt: skip
    try:
        results = launch(
            work.function, work.arguments, work.devices, work.num_nodes, rdzv_endpoint=f"{host}:{work.meeting_port}",
            rdzv_configs={"is_host": False}, local_addr=_own_address(host),
        )  # fmt: skip
    except DeltError as error:
        return Answer({}, str(error))
    except KeyboardInterrupt:  # srun ends the node because of another, or the caller is gone
        raise SystemExit(1) from None
    return Answer({0: results[0]} if 0 in results else {}, "")


def _sees(token: Path, patience_seconds: float) -> bool:
    give_up = time.monotonic() + patience_seconds
    while time.monotonic() < give_up:
        if token.exists():
            return True
        time.sleep(0.2)
    return False


def _own_address(host: str) -> str:
    """Return the address of this node on the way to `host`; host names may lead nowhere between nodes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 1))  # sends nothing
        return str(probe.getsockname()[0])


def _leave_with(caller: Connection, answered: Event) -> None:
    """End this agent and its ranks when the caller is gone, which closes the connection."""
    with suppress(OSError):
        caller.poll(None)
    if not answered.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
