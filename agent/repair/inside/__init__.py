"""The program inside the sandbox: it runs the tests, and tries changed code in forks of itself.

Shipped into the sandbox as sources, so that it imports nothing of ours from outside this folder.
What it says is hints and never proof: the code that it runs could make it say anything.

    suites     the runs of /job/runs.json; a JSON line with every outcome of each
    serve      JSON lines in, JSON lines out, until "quit"
"""
