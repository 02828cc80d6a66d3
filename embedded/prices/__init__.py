"""The Price List API, with the prices of Fleetscore's own table."""
