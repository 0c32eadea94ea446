from rbee_cli.main import run

run()
