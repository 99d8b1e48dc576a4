"""Every setting of the portal, read from the environment; docs/operating.md lists them."""

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from portal import environment

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = environment.text("SECRET_KEY")
DEBUG = environment.flag("DEBUG")
# Sign-in by picking a person from a list. For trying the product out, never for real data.
DEMO = environment.flag("DEMO")
BASE_DOMAIN = environment.text("BASE_DOMAIN", "localhost")
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", ".localhost,127.0.0.1")
# Where the portal is reached, in links that commands print; not used with HTTPS=1.
PORTAL_PORT = environment.text("PORTAL_PORT", "")
HTTPS = environment.flag("HTTPS")
if DEMO and HTTPS:
    raise ImproperlyConfigured("DEMO=1 signs anybody in, so it cannot go with HTTPS=1 (production)")
# Whether bubblewrap may stand in where gVisor is missing: one fault of the kernel gets a job out.
SANDBOX_WEAKER = environment.flag("SANDBOX_WEAKER", DEMO)
if SANDBOX_WEAKER and not (DEMO or DEBUG):
    raise ImproperlyConfigured("SANDBOX_WEAKER=1 is for development: it needs DEMO=1 or DEBUG=1")
# Whether tests start from a snapshot of a sandbox with pytest imported.
SANDBOX_WARM = environment.flag("SANDBOX_WARM")
# Identity providers stand on the internet. Others are asked only when the operator names them.
IDENTITY_ALLOW_LOOPBACK = environment.flag("IDENTITY_ALLOW_LOOPBACK", DEMO)
IDENTITY_NETWORKS = environment.networks("IDENTITY_NETWORKS")
if IDENTITY_ALLOW_LOOPBACK and HTTPS:
    raise ImproperlyConfigured(
        "IDENTITY_ALLOW_LOOPBACK=1 lets tenants reach this machine, so it cannot go with HTTPS=1"
    )

# Data. One role for requests and jobs, one for migrations, one that only reads.
DATABASE_ROLE = environment.choice("DATABASE_ROLE", ("app", "owner", "auditor"), "app")
_pool_size = environment.number("DATABASE_POOL_SIZE", 0)
_url = {"app": "DATABASE_URL", "owner": "DATABASE_OWNER_URL", "auditor": "DATABASE_AUDITOR_URL"}
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "tenants.backend",
        **environment.database(_url[DATABASE_ROLE]),
        "CONN_MAX_AGE": 0 if _pool_size else 600,
        "CONN_HEALTH_CHECKS": not _pool_size,
        "OPTIONS": {
            "application_name": f"countersign-{DATABASE_ROLE}",
            "connect_timeout": 5,
            # Prepared on the server after a few uses; sessions are ours, not a proxy's.
            "prepare_threshold": 5,
            **({"pool": {"min_size": 1, "max_size": _pool_size}} if _pool_size else {}),
        },
    }
}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
REDIS_URL = environment.text("REDIS_URL")
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
}
DATA_DIR = Path(environment.text("DATA_DIR"))
# Where each process writes down reads and denials before it answers; shipped by the worker that
# finds them here, so on every host the same folder for all of its processes.
SPOOL_DIR = Path(environment.text("SPOOL_DIR", str(DATA_DIR / "spool")))
# Seal customers' secrets (such as OIDC client secrets): the first one seals, all of them open.
SECRETS_KEYS = environment.keys("SECRETS_KEYS")
# Folder of signing keys. Set for the evidence worker alone: nobody else may sign.
KEYS_DIR = Path(keys) if (keys := environment.text("KEYS_DIR", "")) else None
# Or a PKCS#11 token: its library, its label, a file with its PIN. For that worker alone too.
KEYS_MODULE = environment.text("KEYS_MODULE", "")
KEYS_TOKEN = environment.text("KEYS_TOKEN", "countersign")
KEYS_PIN_FILE = Path(pin) if (pin := environment.text("KEYS_PIN_FILE", "")) else None
# Or AWS KMS: its region, and an address of one's own in it. For that worker alone too.
KEYS_AWS_REGION = environment.text("KEYS_AWS_REGION", "")
KEYS_AWS_ENDPOINT = environment.text("KEYS_AWS_ENDPOINT", "")
# Who cosigns heads of logs, "<verifier key> <address>" a line, and how many have to.
WITNESSES = environment.lines("WITNESSES")
WITNESS_QUORUM = environment.number("WITNESS_QUORUM", min(1, len(WITNESSES)))
if len(WITNESSES) < WITNESS_QUORUM:
    raise ImproperlyConfigured(
        f"WITNESS_QUORUM={WITNESS_QUORUM}, but WITNESSES names {len(WITNESSES)}"
    )
# Who says since when the head of a pack was there (RFC 3161), and who vouches for it; none: nobody.
TIMESTAMP_URL = environment.web_address("TIMESTAMP_URL", folder=False, plain_http=True)
TIMESTAMP_CA = environment.authority("TIMESTAMP_CA")
if bool(TIMESTAMP_URL) != bool(TIMESTAMP_CA):
    raise ImproperlyConfigured("TIMESTAMP_URL and TIMESTAMP_CA go together: set both, or neither")
PACK_DAYS = environment.number("PACK_DAYS", 30)  # how long a pack can be downloaded
# Wheels and codemods for upgrades, served to sandboxes; need not exist.
PACKAGES_DIR = Path(environment.text("PACKAGES_DIR", str(DATA_DIR / "packages")))
# What is kept to be used again (environments, snapshots, fetched packages): days without use after
# which it goes, and MiB above which the oldest goes first.
REUSE_DAYS = environment.number("REUSE_DAYS", 30)
REUSE_MB = environment.number("REUSE_MB", 20_480)
# What was fetched from a registry of packages, and the only one that may be asked; empty: none.
FETCHED_DIR = DATA_DIR / "fetched"
PACKAGE_REGISTRY = environment.web_address("PACKAGE_REGISTRY")
PACKAGE_REGISTRY_HOSTS = environment.words("PACKAGE_REGISTRY_HOSTS", "")
PACKAGE_REGISTRY_ADDRESSES = environment.addresses("PACKAGE_REGISTRY_ADDRESSES")
PACKAGE_REGISTRY_CERTIFICATES = environment.file("PACKAGE_REGISTRY_CERTIFICATES")
CATALOGUE_DIR = Path(environment.text("CATALOGUE_DIR", str(BASE_DIR / "schemas" / "catalog")))
# Copies of public sources that an operator put there, for a portal without the internet.
CATALOGUE_SOURCES_DIR = (
    Path(folder) if (folder := environment.text("CATALOGUE_SOURCES_DIR", "")) else None
)

# Roles, teams and shares are asked in this process's memory, or in SQL; the first is quicker.
RELATIONS = environment.choice("RELATIONS", ("memory", "sql"), "memory")
# How many tuples the memory may hold of all tenants together, 400 bytes each at most.
RELATIONS_TUPLES = environment.number("RELATIONS_TUPLES", 2_000_000)
# Servers that can be asked instead, tenant by tenant (manage.py relations_engine): address, secret.
RELATIONS_SERVERS = {
    name: (
        environment.text(f"{name.upper()}_URL", ""),
        environment.text(f"{name.upper()}_TOKEN", ""),
    )
    for name in ("spicedb", "openfga")
}

# Where destinations of the kind "file" are written, a file each; none: that kind is not offered.
LOG_COPIES_DIR = Path(copies) if (copies := environment.text("LOG_COPIES_DIR", "")) else None

# Apps: shared ones stand once in the public schema, the others in every cell.
SHARED_APPS = ["tenants.cells", "django.contrib.contenttypes", "django.contrib.auth"]
TENANT_APPS = ["tenants", "evidence", "authz", "agent"]
# What stands in every cell besides tables: functions called with its name at each bootstrap.
CELL_PARTS = ["authz.installing.install"]
INSTALLED_APPS = [
    "django_tenants",
    *SHARED_APPS,
    *TENANT_APPS,
    "portal",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "ninja",
]
TENANT_MODEL = "cells.Cell"
TENANT_DOMAIN_MODEL = "cells.Domain"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["portal.signin.backend.MemberBackend"]
SESSION_ENGINE = "portal.signin.sessions"
# auth.E003/W004 want a user name that is unique over all tenants; ours is unique in one.
SILENCED_SYSTEM_CHECKS = ["auth.E003", "auth.W004"]

MIDDLEWARE = [
    "portal.middleware.RequestLogMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "portal.middleware.TenantMiddleware",
    "portal.middleware.RecordMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "portal.middleware.ActorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "portal.middleware.RefusalMiddleware",
]
ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"
LOGIN_URL = "signin"
LOGIN_REDIRECT_URL = "home"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
                "portal.pages.context.page_frame",
            ],
        },
    }
]

# Browser assets come from npm packages and are served as they are: no build step.
_npm = BASE_DIR / "static" / "node_modules"
STATIC_URL = "/static/"
# A folder filled by collectstatic; without one, files are served from where npm put them.
STATIC_ROOT = environment.text("STATIC_ROOT", "") or None
STATICFILES_DIRS = [
    ("portal", BASE_DIR / "static" / "portal"),
    ("tabler", _npm / "@tabler" / "core" / "dist"),
    ("tabler-icons", _npm / "@tabler" / "icons-webfont" / "dist"),
    ("htmx", _npm / "htmx.org" / "dist"),
    ("diff2html", _npm / "diff2html" / "bundles"),
    ("chart", _npm / "chart.js" / "dist"),
]
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 3600

SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "base-uri": [CSP.NONE],
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# A session ends this long after its last request, and this long after sign-in in any case.
SESSION_IDLE_SECONDS = environment.number("SESSION_IDLE_MINUTES", 60) * 60
SESSION_COOKIE_AGE = environment.number("SESSION_HOURS", 12) * 3600
# Attempts to get in, for each address at each tenant.
RATE_LIMITS = {
    "signin": environment.text("RATE_SIGNIN", "120/minute"),
    "token": environment.text("RATE_TOKEN", "60/minute"),
}
CSRF_FAILURE_VIEW = "portal.errors.csrf_failure"

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False

# Jobs. Two queues: `agent` does the work, `evidence` seals the ledger and alone has keys.
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = "agent"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A job whose worker died is handed out again after this long.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": environment.number("TASK_VISIBILITY_SECONDS", 30),
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 2, "interval_start": 0, "interval_step": 0.2}
CELERY_BEAT_SCHEDULE = {
    "seal what nobody has sealed": {
        "task": "evidence.jobs.seal_waiting",
        "schedule": 5.0,
        "options": {"queue": "evidence", "expires": 5},
    },
    "ship what processes have spooled": {
        "task": "evidence.jobs.ship_decisions",
        "schedule": 5.0,
        "options": {"queue": "evidence", "expires": 5},
    },
    "name what was never answered": {
        "task": "evidence.jobs.name_gaps",
        "schedule": 15.0,
        "options": {"queue": "evidence", "expires": 15},
    },
    "look for pushes": {
        "task": "agent.jobs.look_for_pushes",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "look for drift": {
        "task": "agent.jobs.look_for_drift",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "look for sources whose turn it is": {
        "task": "agent.jobs.look_for_due_sources",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "resume what nobody works on": {
        "task": "agent.jobs.resume_stalled",
        "schedule": 15.0,
        "options": {"queue": "evidence", "expires": 15},
    },
    "delete what is kept no longer": {
        "task": "authz.jobs.apply_retention",
        "schedule": 3600.0,
        "options": {"queue": "evidence", "expires": 3600},
    },
    "delete packs whose time is over": {
        "task": "agent.jobs.delete_expired_packs",
        "schedule": 3600.0,
        "options": {"queue": "evidence", "expires": 3600},
    },
    "delete what nothing uses again": {
        "task": "agent.jobs.delete_unused",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "remind of access reviews": {
        "task": "authz.jobs.remind_of_reviews",
        "schedule": 3600.0,
        "options": {"queue": "evidence", "expires": 3600},
    },
    "end what is over": {
        "task": "authz.jobs.tidy",
        "schedule": 30.0,
        "options": {"queue": "evidence", "expires": 30},
    },
}
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")

LOG_FORMAT = environment.choice("LOG_FORMAT", ("json", "console"), "json")
LOGGING_CONFIG = "portal.logs.configure"
LOGGING = {"format": LOG_FORMAT, "level": environment.text("LOG_LEVEL", "INFO")}
