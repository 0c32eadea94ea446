"""`rbee up`: PostgreSQL, Redis, queen, Celery and a hive on one machine, with no root and no container.

The supervisor is one thread. PR_SET_PDEATHSIG follows the thread that made a child, not its process, so whatever
starts children must outlive them.
"""
