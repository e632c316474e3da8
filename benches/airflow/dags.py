"""The shapes of `cargo xtask bench airflow`, for Apache Airflow."""

from datetime import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

COMMON = {"schedule": None, "start_date": datetime(2026, 1, 1), "catchup": False, "max_active_tasks": 128}


def nothing():
    return None


def chain(dag_id, length, make):
    with DAG(dag_id, **COMMON) as dag:
        before = None
        for number in range(length):
            task = make(f"t{number}")
            if before is not None:
                before >> task
            before = task
    return dag


chain_python = chain("chain_python", 40, lambda name: PythonOperator(task_id=name, python_callable=nothing))
chain_process = chain("chain_process", 40, lambda name: BashOperator(task_id=name, bash_command="true"))
one = chain("one", 1, lambda name: BashOperator(task_id=name, bash_command="true"))

with DAG("parallel", **COMMON) as parallel:
    for index in range(100):
        BashOperator(task_id=f"t{index}", bash_command="true")
