"""The database of a service as teams write them by hand: SQLAlchemy's table, and passwords hashed by passlib.

Makes the table `users` at the URL that is given (of SQLAlchemy), with a user for each scheme of passlib, Django, Werkzeug and crypt(3)
that Signet knows, and prints one JSON object a line for each: username, password, whether active. The costs are low, so that a test is
quick, but for passlib's bcrypt and Django's Argon2, which are as they come.
"""

import ctypes
import ctypes.util
import json
import sys

import django.conf
from passlib.context import CryptContext
from passlib.hash import (
    argon2,
    bcrypt_sha256,
    pbkdf2_sha1,
    pbkdf2_sha256,
    pbkdf2_sha512,
    phpass,
    scrypt,
    sha256_crypt,
    sha512_crypt,
)
from sqlalchemy import Boolean, Column, Integer, String, create_engine
from sqlalchemy.orm import Session, declarative_base
from werkzeug.security import generate_password_hash

django.conf.settings.configure()
from django.contrib.auth import hashers  # noqa: E402  (it reads the settings)

Base = declarative_base()


class User(Base):
    __tablename__ = "users"
    id = Column(Integer, primary_key=True, index=True)
    username = Column(String(150), unique=True, index=True, nullable=False)
    hashed_password = Column(String(255), nullable=False)
    is_active = Column(Boolean, default=True, nullable=False)


def django_hasher(kind, **cost):
    """A hasher of Django's at another cost."""
    hasher = type("Hasher", (kind,), cost)()
    return lambda password: hasher.encode(password, hasher.salt())


def yescrypt(password):
    """crypt(3) of this machine, at the cost that it has by default."""
    libcrypt = ctypes.CDLL(ctypes.util.find_library("crypt"))
    libcrypt.crypt.restype = libcrypt.crypt_gensalt.restype = ctypes.c_char_p
    setting = libcrypt.crypt_gensalt(b"$y$", 0, None, 0)
    return libcrypt.crypt(password.encode(), setting).decode()


pwd_context = CryptContext(schemes=["bcrypt"], deprecated="auto")
cheap_context = CryptContext(schemes=["bcrypt"], bcrypt__rounds=4)

# passlib would load it at the first hash, which is too late for what is derived from it here.
argon2.set_backend()

SCHEMES = {
    "bcrypt": pwd_context.hash,
    "Bcrypt.2a": lambda password: cheap_context.handler("bcrypt").using(rounds=4, ident="2a").hash(password),
    "bcrypt.2y": lambda password: cheap_context.handler("bcrypt").using(rounds=4, ident="2y").hash(password),
    "bcrypt_sha256.v1": bcrypt_sha256.using(rounds=4, version=1).hash,
    "bcrypt_sha256": bcrypt_sha256.using(rounds=4).hash,
    "argon2": argon2.using(memory_cost=4096, time_cost=1).hash,
    "argon2i": argon2.using(type="I", memory_cost=256, time_cost=2, parallelism=4).hash,
    "argon2d": argon2.using(type="D", memory_cost=256, time_cost=2, parallelism=2).hash,
    "scrypt": scrypt.using(rounds=10).hash,
    "pbkdf2_sha1": pbkdf2_sha1.using(rounds=1000).hash,
    "pbkdf2_sha256": pbkdf2_sha256.using(rounds=1000).hash,
    "pbkdf2_sha512": pbkdf2_sha512.using(rounds=1000).hash,
    "sha256_crypt": sha256_crypt.using(rounds=1000).hash,
    "sha512_crypt": sha512_crypt.using(rounds=5000).hash,
    "phpass": phpass.using(rounds=8).hash,
    "yescrypt": yescrypt,
    "django.pbkdf2": django_hasher(hashers.PBKDF2PasswordHasher, iterations=1000),
    "django.pbkdf2_sha1": django_hasher(hashers.PBKDF2SHA1PasswordHasher, iterations=1000),
    "django.argon2": django_hasher(hashers.Argon2PasswordHasher),
    "django.bcrypt": django_hasher(hashers.BCryptPasswordHasher, rounds=4),
    "django.bcrypt_sha256": django_hasher(hashers.BCryptSHA256PasswordHasher, rounds=4),
    "django.scrypt": django_hasher(hashers.ScryptPasswordHasher, work_factor=1024),
    "werkzeug.scrypt": lambda password: generate_password_hash(password, "scrypt:1024:8:1"),
    "werkzeug.pbkdf2": lambda password: generate_password_hash(password, "pbkdf2:sha256:1000"),
}

engine = create_engine(sys.argv[1])
Base.metadata.create_all(engine)
with Session(engine) as session:
    for number, (name, hash_password) in enumerate(SCHEMES.items()):
        # One that is not ASCII, and for every other user one that is longer than what bcrypt reads.
        password = f"pässword 密码 of {name}" + " and so on" * (8 * (number % 2))
        session.add(User(username=name, hashed_password=hash_password(password)))
        print(json.dumps({"username": name, "password": password, "is_active": True}))
    session.add(User(username="disabled", hashed_password=cheap_context.hash("old password"), is_active=False))
    print(json.dumps({"username": "disabled", "password": "old password", "is_active": False}))
    session.commit()
