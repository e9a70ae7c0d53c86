# Stands for a process of the server: it hands over its arguments, environment, folder and open files, passes signals
# on, and ends as that process ends; one that is killed takes its process with it.
import array
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys

folder = os.path.dirname(os.path.abspath(__file__))
connection = socket.socket(socket.AF_UNIX)
with open(os.path.join(folder, "lock"), "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.path.exists(os.path.join(folder, "socket")):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(folder, "socket"))
        listener.listen(100)
        command = [sys.executable, SERVER, str(OWNER), str(listener.fileno())]  # noqa: F821
        with open(os.path.join(folder, "log"), "w") as log:
            given = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "pass_fds": [listener.fileno()]}
            environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            subprocess.Popen(command, env=environment, start_new_session=True, **given)
        listener.close()
connection.connect(os.path.join(folder, "socket"))

files = []
for number in map(int, os.listdir("/dev/fd")):
    try:
        if number != connection.fileno() and os.get_inheritable(number):
            files.append(number)
    except OSError:  # the listing itself
        pass
request = json.dumps({"words": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd(), "files": files})
data = request.encode()
header = len(data).to_bytes(4, "big")
connection.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))])
connection.sendall(data)
for number in files:
    os.close(number)

answers = connection.makefile()
process = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, _: os.kill(process, number))
status = int(answers.readline() or -signal.SIGKILL)
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if -status not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), -status)
os._exit(status)
