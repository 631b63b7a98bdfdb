"""Hashes that Flask-Security, Flask-Bcrypt and bcrypt 5 themselves write: a JSON object a line, with the user's name and password, the
hash, and the recipe of its prehash. The costs are low, so that a test is quick. The key of Flask-Security is the argument.
"""

import json
import sys

import bcrypt
from flask import Flask
from flask_bcrypt import Bcrypt
from flask_security import Security, UserMixin, hash_password
from flask_security.datastore import UserDatastore

SALT = sys.argv[1]


def tell(username, password, password_hash, prehash=None):
    print(json.dumps({"username": username, "password": password, "hash": password_hash, "prehash": prehash}))


class User(UserMixin):
    """What Flask-Security asks of a user; none is made."""

    fs_uniquifier = email = password = active = roles = None


def flask_security(scheme, options):
    """Hashes as a service with this scheme does."""
    app = Flask("shop")
    app.config.update(
        SECRET_KEY="not a secret here",
        SECURITY_PASSWORD_SALT=SALT,
        SECURITY_PASSWORD_HASH=scheme,
        SECURITY_PASSWORD_SCHEMES=[scheme],
        SECURITY_PASSWORD_HASH_PASSLIB_OPTIONS={f"{scheme}__{name}": value for name, value in options.items()},
    )
    security = Security(app, UserDatastore(User, None))

    def hash_of(password):
        with app.app_context():
            # As a form hands it over.
            return hash_password(security._password_util.normalize(password))

    return hash_of


def flask_bcrypt(handles_long_passwords):
    app = Flask("shop")
    app.config.update(BCRYPT_LOG_ROUNDS=4, BCRYPT_HANDLE_LONG_PASSWORDS=handles_long_passwords)
    flask = Bcrypt(app)
    return lambda password: flask.generate_password_hash(password).decode()


password = "pässword 密码 of {}".format
long = "a longer pässword than bcrypt reads, " * 9

SCHEMES = {
    "bcrypt": {"rounds": 4},
    "argon2": {"memory_cost": 64, "rounds": 1},
    "pbkdf2_sha512": {"rounds": 1000},
    "sha512_crypt": {"rounds": 1000},
    "django_pbkdf2_sha256": {"rounds": 1000},
}
for scheme, options in SCHEMES.items():
    name = f"flask_security.{scheme}"
    tell(name, password(name), flask_security(scheme, options)(password(name)), "flask-security")
tell("flask_security.long", long, flask_security("bcrypt", {"rounds": 4})(long), "flask-security")
tell("flask_bcrypt", password("flask_bcrypt"), flask_bcrypt(False)(password("flask_bcrypt")))
tell("flask_bcrypt.long", long, flask_bcrypt(True)(long), "flask-bcrypt")

# Devise puts its pepper after the password; bcrypt 5 refuses what it does not read.
name = "devise"
tell(name, password(name), bcrypt.hashpw((password(name) + SALT).encode(), bcrypt.gensalt(4, b"2a")).decode(), "devise")
name = "bcrypt.5"
tell(name, password(name), bcrypt.hashpw(password(name).encode(), bcrypt.gensalt(4)).decode())
# What wp_hash_password of WordPress 6.8 made by PHP 8.2 of a password of its tests (tests/phpunit/tests/auth.php): no package has it.
tell("wordpress", " pass with leading whitespace", "$wp$2y$05$ZQWzqQwfcE.DwIql/NAs3.jL5tYxaayO3RkeAAweIYiM.WZK/bb8S")
