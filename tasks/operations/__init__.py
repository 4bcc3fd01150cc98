"""What a flow step or a command does, as plain functions over services: no orchestrator needed."""
