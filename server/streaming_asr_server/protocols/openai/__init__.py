"""OpenAI's protocol: route or server, codec, messages, and what only it has."""
