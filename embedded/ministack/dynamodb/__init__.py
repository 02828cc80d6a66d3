"""DynamoDB: requests, expressions and values in less time than ministack needs, and items in less memory."""
