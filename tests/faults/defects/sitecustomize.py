"""Python imports this at its start where a trial has put this folder on the path: the one way in for a defect."""

import os

if defect := os.environ.get("FAULTS_DEFECT"):
    from tests.faults.defects import install

    install(defect)
