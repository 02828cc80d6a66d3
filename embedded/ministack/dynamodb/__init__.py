"""DynamoDB: expressions, attribute values and their sizes, in less time than ministack needs."""
