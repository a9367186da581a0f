def run(checks, hive, setting):
    pass
