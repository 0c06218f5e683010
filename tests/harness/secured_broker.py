"""A real Kafka with three doors: a plain one for the test, one for passwords, one for certificates.

Nobody but the test may anything that an ACL does not allow.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.harness.authority import Authority, Signed
from tests.harness.broker import JarBroker
from tests.harness.kafka_jars import SETTINGS, KafkaJars
from tests.harness.ports import free_ports
from tests.harness.topics import REQUEST_TIMEOUT_S, Topics

MECHANISM = "SCRAM-SHA-512"
USER = "worker"
DESCRIBE, DESCRIBE_CONFIGS = AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS
READ, WRITE = AclOperation.READ, AclOperation.WRITE
TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP
TRANSACTIONAL_ID = ResourceType.TRANSACTIONAL_ID

Permission = tuple[ResourceType, str, AclOperation]


@dataclass(frozen=True)
class SecuredBroker:
    """The doors' addresses, who signed its certificate, and a client's own certificate."""

    bootstrap: str
    password_door: str
    certificate_door: str
    authority: Path
    client: Signed
    key_password: str

    def by_password(self, password: str, **more: str) -> dict[str, str]:
        """Return a client's settings for the door that asks for a password."""
        return {
            "bootstrap.servers": self.password_door,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": MECHANISM,
            "sasl.username": USER,
            "sasl.password": password,
            "ssl.ca.location": str(self.authority),
            **more,
        }

    def by_certificate(self, **more: str) -> dict[str, str]:
        """Return a client's settings for the door that asks for a certificate."""
        return {
            "bootstrap.servers": self.certificate_door,
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority),
            "ssl.certificate.location": str(self.client.certificate),
            "ssl.key.location": str(self.client.key),
            "ssl.key.password": self.key_password,
            **more,
        }

    @property
    def admin(self) -> AdminClient:
        """Return a client that may everything."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})


@contextlib.contextmanager
def secured_broker(directory: Path, *, password: str, key_password: str) -> Iterator[SecuredBroker]:
    """Give a started broker with one user, by name and password or by certificate.

    By Kafka's jars on this machine, whatever else is there: it is prepared before it starts.
    Raises MissingToolError, which says what to install.
    """
    jars = KafkaJars.on_this_machine()
    authority = Authority(directory, "authority")
    server = authority.sign("broker")
    keystore = directory / "keystore.pem"
    keystore.write_text(server.key.read_text() + server.certificate.read_text())
    port, password_port, certificate_port = free_ports(3)
    names = {
        "port": port,
        "password_port": password_port,
        "certificate_port": certificate_port,
        "keystore": keystore,
        "truststore": authority.certificate,
    }
    broker = JarBroker(
        jars,
        port=port,
        more=Template((SETTINGS / "secured.properties").read_text()).safe_substitute(names),
        scram=[f"{MECHANISM}=[name={USER},password={password}]"],
    )
    try:
        broker.start()
        yield SecuredBroker(
            broker.bootstrap,
            f"127.0.0.1:{password_port}",
            f"127.0.0.1:{certificate_port}",
            authority.certificate,
            authority.sign(USER, password=key_password),
            key_password,
        )
    finally:
        broker.close()


def permissions_of_a_worker(topics: Topics) -> list[Permission]:
    """Return all that a worker needs, as the README lists it."""
    written = (topics.output, topics.decisions, topics.dead_letters)
    return [
        *((TOPIC, topic, DESCRIBE_CONFIGS) for topic in topics.all()),
        *((TOPIC, topic, READ) for topic in (topics.input, topics.decisions)),
        *((TOPIC, topic, WRITE) for topic in written),
        *((GROUP, group, READ) for group in (topics.group, f"{topics.group}-position")),
        (TRANSACTIONAL_ID, topics.group, WRITE),
    ]


def allow(admin: AdminClient, permissions: list[Permission]) -> None:
    """Let the worker, by password or by certificate, do this; a transactional id by its prefix."""
    rules = [
        AclBinding(
            *(kind, name, _pattern(kind), principal, "*", operation, AclPermissionType.ALLOW)
        )
        for kind, name, operation in permissions
        for principal in (f"User:{USER}", f"User:CN={USER}")
    ]
    for made in admin.create_acls(rules).values():
        made.result(REQUEST_TIMEOUT_S)


def take_away(admin: AdminClient, permission: Permission) -> None:
    """Let nobody do this any more."""
    kind, name, operation = permission
    every = AclBindingFilter(
        *(kind, name, _pattern(kind), None, None, operation, AclPermissionType.ALLOW)
    )
    for gone in admin.delete_acls([every]).values():
        gone.result(REQUEST_TIMEOUT_S)


def forget_all_permissions(admin: AdminClient) -> None:
    """Let nobody do anything: of what one may write to, whatever it is, depends what one may."""
    any_of_all = AclBindingFilter(
        *(ResourceType.ANY, None, ResourcePatternType.ANY, None, None),
        *(AclOperation.ANY, AclPermissionType.ANY),
    )
    for gone in admin.delete_acls([any_of_all]).values():
        gone.result(REQUEST_TIMEOUT_S)


def _pattern(kind: ResourceType) -> ResourcePatternType:
    prefixed = kind is TRANSACTIONAL_ID
    return ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL


def as_overrides(kafka: Mapping[str, str]) -> list[str]:
    """Return a client's settings as options of our commands."""
    return [part for name, value in kafka.items() for part in ("--set", f"kafka.{name}={value}")]
