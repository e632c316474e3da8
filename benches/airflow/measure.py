"""Measures Apache Airflow with LocalExecutor on the Postgres it is given; prints one JSON object.

    python3 measure.py <venv> <folder> <database url> <idle sleep seconds>

The venv has requirements.txt. Everything it starts, it ends.
"""

import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

CHAINS = 3
TRIGGERS = 10
WAIT_MAX = 600


class Airflow:
    def __init__(self, venv, folder, database, idle_sleep):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.program = str(Path(venv) / "bin" / "airflow")
        self.folder = Path(folder)
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "PATH": f"{venv}/bin:{os.environ['PATH']}",
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "32",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "128",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent.resolve()),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.replace("postgres://", "postgresql+psycopg2://"),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": str(idle_sleep),
        }
        self.processes = []
        self.token = None

    def start(self):
        subprocess.run([self.program, "db", "migrate"], env=self.environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        began = time.monotonic()
        for part in (["api-server"], ["scheduler"], ["dag-processor"]):
            log = open(self.folder / f"{part[0]}.log", "w")
            process = subprocess.Popen([self.program, *part], env=self.environment, stdout=log, stderr=log, start_new_session=True)
            self.processes.append(process)
        self.wait(self.is_healthy, "a healthy Airflow")
        healthy = time.monotonic() - began
        self.token = self.ask("GET", "/auth/token")["access_token"]
        self.wait(lambda: self.ask("GET", "/api/v2/dags")["total_entries"] >= 4, "the dags")
        return healthy

    def is_healthy(self):
        health = self.ask("GET", "/api/v2/monitor/health")
        return all(health[part] and health[part].get("status") == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        data = None
        if body is not None:
            request.add_header("Content-Type", "application/json")
            data = json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=30) as answer:
            return json.load(answer)

    def wait(self, reached, what):
        deadline = time.monotonic() + WAIT_MAX
        while time.monotonic() < deadline:
            try:
                if reached():
                    return
            except (urllib.error.URLError, OSError, KeyError):
                pass
            time.sleep(0.2)
        raise SystemExit(f"after {WAIT_MAX} s there is not {what}; logs are in {self.folder}")

    def run(self, dag):
        """From the POST to the end of the last task, and the instances."""
        posted = datetime.now(timezone.utc)
        run = self.ask("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None})["dag_run_id"]
        path = f"/api/v2/dags/{dag}/dagRuns/{run}"
        self.wait(lambda: self.ask("GET", path)["state"] in ("success", "failed"), f"an end of {run}")
        if self.ask("GET", path)["state"] != "success":
            raise SystemExit(f"{dag} {run} failed; logs are in {self.folder}")
        instances = self.ask("GET", f"{path}/taskInstances?limit=100")["task_instances"]
        times = sorted((instant(task["start_date"]), instant(task["end_date"])) for task in instances)
        return (times[-1][1] - posted).total_seconds(), (times[0][0] - posted).total_seconds(), times

    def memory(self):
        """Proportional set size of all its processes, in MB: shared pages count once."""
        groups = {process.pid for process in self.processes}
        total = 0
        for entry in Path("/proc").iterdir():
            try:
                if not entry.name.isdigit() or os.getsid(int(entry.name)) not in groups:
                    continue
                rollup = (entry / "smaps_rollup").read_text()
            except (OSError, ProcessLookupError):
                continue
            total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return total / 1024

    def stop(self):
        for process in self.processes:
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def main():
    venv, folder, database, idle_sleep = sys.argv[1:5]
    Path(folder).mkdir(parents=True, exist_ok=True)
    airflow = Airflow(venv, folder, database, float(idle_sleep))
    try:
        figures = {"start": airflow.start()}
        time.sleep(10)
        figures["memory"] = airflow.memory()
        airflow.run("one")
        figures["trigger"] = statistics.median(airflow.run("one")[1] for _ in range(TRIGGERS))
        for dag in ("chain_python", "chain_process"):
            runs = [airflow.run(dag) for _ in range(CHAINS)]
            figures[dag] = statistics.median(seconds for seconds, _, _ in runs)
            gaps = [(after[0] - before[1]).total_seconds() for _, _, times in runs for before, after in zip(times, times[1:])]
            figures[f"{dag}_gap"] = statistics.median(gaps)
        figures["parallel"] = statistics.median(airflow.run("parallel")[0] for _ in range(CHAINS))
        print(json.dumps(figures))
    finally:
        airflow.stop()


if __name__ == "__main__":
    main()
