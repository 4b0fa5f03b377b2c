"""Pieces that stages share or are made of; the stages themselves lie one floor up."""
