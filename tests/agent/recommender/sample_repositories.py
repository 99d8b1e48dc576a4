"""Small repositories with what a careful person would say that a change of their stack touches."""

# (files, winners by layer, {(leaves, "file"|"job"|"secret", name)})
SAMPLES = {
    "shop": (
        {
            "pyproject.toml": b'[project]\ndependencies = ["flask>=3", "redis>=5", "pytest"]\n',
            "src/shop/web.py": b"from flask import Flask\nimport json\n\napp = Flask(__name__)\n",
            "src/shop/cache.py": b"import redis\n\nstore = redis.Redis()\n",
            "src/shop/prices.py": b"import decimal\n",
            "compose.yaml": b"services:\n  cache:\n    image: redis:8\n",
            ".github/workflows/ci.yml": b"jobs:\n  test:\n    services:\n      cache:\n"
            b"        image: redis:8\n    env:\n      REDIS_URL: ${{ secrets.REDIS_URL }}\n"
            b"  lint:\n    steps:\n      - run: ruff check .\n",
            "README.md": b"We use redis and flask.\n",
        },
        {"web-api": "django", "cache-queue": "valkey", "ci-cd": "github-actions"},
        {
            ("flask", "file", "pyproject.toml"),
            ("flask", "file", "src/shop/web.py"),
            ("redis", "file", "pyproject.toml"),
            ("redis", "file", "src/shop/cache.py"),
            ("redis", "file", "compose.yaml"),
            ("redis", "file", ".github/workflows/ci.yml"),
            ("redis", "job", ".github/workflows/ci.yml: test"),
            ("redis", "secret", "REDIS_URL"),
        },
    ),
    "board": (
        {
            "package.json": b'{"dependencies": {"express": "5", "vue": "3"}}',
            "server/index.js": b'const express = require("express");\n',
            "web/app.vue": b'<script>import { ref } from "vue";</script>\n',
            "web/plain.js": b"export const one = 1;\n",
            "Jenkinsfile": b"pipeline { agent any }\n",
            "compose.yaml": b"services:\n  db:\n    image: mysql:9\n",
        },
        {
            "web-api": "nestjs",
            "frontend": "vue",
            "ci-cd": "github-actions",
            "relational-data": "postgresql",
        },
        {
            ("express", "file", "package.json"),
            ("express", "file", "server/index.js"),
            ("jenkins", "file", "Jenkinsfile"),
            ("mysql", "file", "compose.yaml"),
        },
    ),
    "platform": (
        {
            "infra/main.tf": b'resource "aws_instance" "a" {}\n',
            "infra/network.tf": b'resource "aws_vpc" "a" {}\n',
            ".gitlab-ci.yml": b"stages: [scan]\nscan:\n  image: aquasec/trivy:1\n  script:\n"
            b"    - trivy image --token $TRIVY_TOKEN app\nbuild:\n  image: docker:28\n"
            b"  script: [docker build .]\n",
            "go.mod": b"module x\n\nrequire github.com/gin-gonic/gin v1.10.0\n",
        },
        {
            "infrastructure-as-code": "opentofu",
            "ci-cd": "gitlab-ci",
            "dependency-scanning": "grype",
            "web-api": "gin",
        },
        {
            ("terraform", "file", "infra/main.tf"),
            ("terraform", "file", "infra/network.tf"),
            ("trivy", "file", ".gitlab-ci.yml"),
            ("trivy", "job", ".gitlab-ci.yml: scan"),
            ("trivy", "secret", "TRIVY_TOKEN"),
        },
    ),
}
