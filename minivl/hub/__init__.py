"""Models and worlds as folders: settings, weights and a card, on this disk or on the Hugging Face hub."""
