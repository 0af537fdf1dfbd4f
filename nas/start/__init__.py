"""What an exported folder is started with, on the board alone: classify, benchmark, govern."""
